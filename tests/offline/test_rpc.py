"""Look-ups over gRPC, by grpcio, from an open door."""

from __future__ import annotations

import json

import grpc
import pytest

from servable import app
from servable.offline.lookup import Lookup
from servable.server.access.access import Access
from servable.server.access.keys import Keys
from servable.server.grpc.door import GrpcDoor
from servable.stores.tables.open import open_tables
from servable.wire.generated import tables_pb2 as pb
from tests.offline.test_lookup_stores import double
from tests.offline.test_routes import fill
from tests.server import grpc_served


@pytest.fixture
async def asked(tmp_path, monkeypatch):
    """Ask a door that demands keys: `ask(request, key)`."""
    fill(tmp_path, fresh_s=60.0)
    fill(tmp_path, table="secret", model="other")
    fill(tmp_path, table="live", on_miss="predict")
    keys = Keys(tmp_path)
    secret, _ = keys.create("ada", ["invoker"], ["scaler"], None)
    access = Access(keys, required=True)
    tables = open_tables(tmp_path)

    def door(*parts):
        return GrpcDoor(*parts, app._rpcs(Lookup(tables, double), access))

    monkeypatch.setattr(grpc_served, "GrpcDoor", door)
    async with grpc_served.served({}, access=access) as served, grpc.aio.insecure_channel(served.address) as channel:
        call = channel.unary_unary(
            "/servable.v1.Tables/Lookup",
            request_serializer=pb.LookupRequest.SerializeToString,
            response_deserializer=pb.LookupResponse.FromString,
        )

        async def ask(request, key=secret):
            return await call(request, metadata=(("authorization", f"Bearer {key}"),) if key else ())

        yield ask
    tables.close()


async def test_many_keys_at_once(asked):
    told = await asked(pb.LookupRequest(table="churn", keys=["7", "777"]))
    assert (told.table, told.model_name, told.model_version, told.generation, told.stale) == (
        "churn", "scaler", "1", 1, True,
    )  # fmt: skip
    assert [(row.found, json.loads(row.outputs or "null")) for row in told.rows] == [
        (True, {"y": [14.0, 7.0]}),
        (False, None),
    ]


async def test_a_miss_is_computed_and_remembered(asked):
    told = await asked(pb.LookupRequest(table="live", keys=["1", "777", "778"], inputs=["", '{"x": [1, 2]}', ""]))
    assert (told.computed, told.stale) == (1, False)
    assert [json.loads(row.outputs or "null") for row in told.rows] == [{"y": [2.0, 1.0]}, {"y": [2.0, 4.0]}, None]
    (again,) = (await asked(pb.LookupRequest(table="live", keys=["777"]))).rows
    assert (again.found, json.loads(again.outputs)) == (True, {"y": [2.0, 4.0]})


@pytest.mark.parametrize(
    ("request_", "key", "code"),
    [
        (pb.LookupRequest(table="none", keys=["1"]), ..., grpc.StatusCode.NOT_FOUND),
        (pb.LookupRequest(table="churn", keys=["x"]), ..., grpc.StatusCode.INVALID_ARGUMENT),
        (pb.LookupRequest(table="churn"), ..., grpc.StatusCode.INVALID_ARGUMENT),
        (pb.LookupRequest(table="churn", keys=["1"], inputs=["{"]), ..., grpc.StatusCode.INVALID_ARGUMENT),
        (pb.LookupRequest(table="secret", keys=["1"]), ..., grpc.StatusCode.PERMISSION_DENIED),
        (pb.LookupRequest(table="churn", keys=["1"]), "", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_refusals(asked, request_, key, code):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await (asked(request_) if key is ... else asked(request_, key))
    assert error.value.code() == code
