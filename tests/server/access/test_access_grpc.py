"""Access at the gRPC door: every method in its table, with no key, a wrong key, a wrong role, a stranger's models."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from servable.server.access.access import Access
from servable.server.access.audit import Audit
from servable.server.access.keys import Keys
from servable.server.access.roles import GRANTS, ROLES
from servable.server.grpc.rpcs import RPCS, Rpc
from servable.server.http.routes import OPEN
from servable.wire.generated import open_inference_pb2 as pb
from tests.server import grpc_served

STREAMED = {grpc.StatusCode.UNAUTHENTICATED: "send  Authorization", grpc.StatusCode.PERMISSION_DENIED: "key '"}
"""What an error in a stream says, by the status it stands for."""


async def _grpc_status(channel: grpc.aio.Channel, rpc: Rpc, key: str | None) -> grpc.StatusCode:
    """What a call with an empty message (that names the model, where one is named) ends with."""
    message = rpc.message(**({rpc.model: "scores"} if rpc.model else {})).SerializeToString()
    metadata = [] if key is None else [("authorization", f"Bearer {key}")]
    call = channel.stream_stream(rpc.path)(iter([message]), metadata=metadata, timeout=20)
    try:
        async for answer in call:
            if rpc.name == "ModelStreamInfer":  # each request of a stream is answered on its own
                text = pb.ModelStreamInferResponse.FromString(answer).error_message
                return next((code for code, words in STREAMED.items() if words in text), grpc.StatusCode.OK)
            break
    except grpc.aio.AioRpcError as error:
        return error.code()
    call.cancel()
    return grpc.StatusCode.OK


def test_every_grpc_method_asks_for_its_role(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    secrets = {role: keys.create(role, [role])[0] for role in ROLES}
    stranger, _ = keys.create("elsewhere", ["admin"], ["other-*"])
    access = Access(keys, required=True, audit=Audit(tmp_path))

    async def scenario() -> None:
        async with (
            grpc_served.served(grpc_served.models(tmp_path), access) as door,
            grpc.aio.insecure_channel(door.address) as channel,
        ):
            for rpc in RPCS:
                if rpc.role == OPEN:
                    assert await _grpc_status(channel, rpc, None) is grpc.StatusCode.OK, rpc.name
                    continue
                for wrong in (None, "sv_wrong"):
                    assert await _grpc_status(channel, rpc, wrong) is grpc.StatusCode.UNAUTHENTICATED, rpc.name
                denied = [secrets[role] for role in ROLES if rpc.role not in GRANTS[role]]
                denied += [stranger] if rpc.model else []
                for key in denied:
                    assert await _grpc_status(channel, rpc, key) is grpc.StatusCode.PERMISSION_DENIED, rpc.name
                refusals = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}
                assert await _grpc_status(channel, rpc, secrets["admin"]) not in refusals, rpc.name
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary("/inference.GRPCInferenceService/NoSuchMethod")(b"", timeout=20)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

    asyncio.run(scenario())
    assert {rpc.name for rpc in RPCS if rpc.role == OPEN} == {"ServerLive", "ServerReady", "Check", "Watch"}
