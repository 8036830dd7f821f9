"""The gRPC door: grpc.aio on the loop of the HTTP door, over the same models.

RPCS names every method and the role it demands; what is not in it does not exist, and each call passes `_admit`.
Bytes come in and bytes go out. Predictions are `grpc_infer.py`, what describes and manages is `grpc_methods.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Literal, NamedTuple

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from servable.engine.host import Host
from servable.engine.router import Router
from servable.errors import EnvironmentFault, InvalidInput, ServableError
from servable.server.access import ANONYMOUS, Access, Principal, bearer
from servable.server.grpc_infer import Predictions
from servable.server.grpc_methods import HEALTH, SERVICE, Methods
from servable.server.grpc_status import Context, refuse, unexpected
from servable.server.repository import Repository
from servable.server.roles import Role
from servable.settings import Settings
from servable.wire.generated import health_pb2
from servable.wire.generated import open_inference_pb2 as pb

OPEN: Final = "open"
"""The role of a method that asks for no key."""


class Rpc(NamedTuple):
    """One method: its role, the message it takes, and the name of what answers it in Methods (or, for predictions, here).

    `model` is the field of the message that names the model, empty where the call concerns none.
    """

    name: str
    role: Role | Literal["open"]
    message: type[Message]
    answered_by: str
    model: str = "name"
    service: str = SERVICE

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


RPCS: Final = (
    Rpc("ServerLive", OPEN, pb.ServerLiveRequest, "server_live", ""),
    Rpc("ServerReady", OPEN, pb.ServerReadyRequest, "server_ready", ""),
    Rpc("Check", OPEN, health_pb2.HealthCheckRequest, "health_check", "", HEALTH),
    Rpc("Watch", OPEN, health_pb2.HealthCheckRequest, "health_watch", "", HEALTH),
    Rpc("ModelReady", "viewer", pb.ModelReadyRequest, "model_ready"),
    Rpc("ServerMetadata", "viewer", pb.ServerMetadataRequest, "server_metadata", ""),
    Rpc("ModelMetadata", "viewer", pb.ModelMetadataRequest, "model_metadata"),
    Rpc("ModelConfig", "viewer", pb.ModelConfigRequest, "model_config"),
    Rpc("ModelStatistics", "viewer", pb.ModelStatisticsRequest, "model_statistics"),
    Rpc("ModelInfer", "invoker", pb.ModelInferRequest, "infer", "model_name"),
    Rpc("ModelStreamInfer", "invoker", pb.ModelInferRequest, "stream_infer", "model_name"),
    Rpc("RepositoryIndex", "viewer", pb.RepositoryIndexRequest, "repository_index", ""),
    Rpc("RepositoryModelLoad", "deployer", pb.RepositoryModelLoadRequest, "repository_load", "model_name"),
    Rpc("RepositoryModelUnload", "deployer", pb.RepositoryModelUnloadRequest, "repository_unload", "model_name"),
    Rpc("SystemSharedMemoryStatus", "viewer", pb.SystemSharedMemoryStatusRequest, "system_memory_status", ""),
    Rpc("SystemSharedMemoryRegister", "admin", pb.SystemSharedMemoryRegisterRequest, "memory_register", ""),
    Rpc("SystemSharedMemoryUnregister", "admin", pb.SystemSharedMemoryUnregisterRequest, "system_memory_unregister", ""),
    Rpc("CudaSharedMemoryStatus", "viewer", pb.CudaSharedMemoryStatusRequest, "cuda_memory_status", ""),
    Rpc("CudaSharedMemoryRegister", "admin", pb.CudaSharedMemoryRegisterRequest, "memory_register", ""),
    Rpc("CudaSharedMemoryUnregister", "admin", pb.CudaSharedMemoryUnregisterRequest, "cuda_memory_unregister", ""),
    Rpc("TraceSetting", "viewer", pb.TraceSettingRequest, "trace_setting", "model_name"),
    Rpc("LogSettings", "viewer", pb.LogSettingsRequest, "log_settings", ""),
)
"""Every method there is. Reading what is traced and logged is a viewer's; changing it is offered to nobody."""

INFER: Final = next(rpc for rpc in RPCS if rpc.name == "ModelInfer")
ACTS: Final = frozenset({"deployer", "admin"})
"""Roles whose calls change the server, and are written down in the audit log, whatever came of them."""


class GrpcDoor:
    """`start`, then `drain`. All methods are for the event loop that it answers on."""

    def __init__(self, router: Router, host: Host, access: Access, repository: Repository, settings: Settings) -> None:
        self._access = access
        self._settings = settings
        self._draining = asyncio.Event()
        self._methods = Methods(router, host, repository, self._draining)
        self._predictions = Predictions(router, settings.deadline_s, self._admit_infer, self._draining)
        self._server: grpc.aio.Server | None = None

    # ---- the door

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises EnvironmentFault if another program has it."""
        server = grpc.aio.server(options=self._options(), maximum_concurrent_rpcs=self._settings.max_connections)
        server.add_generic_rpc_handlers((_Handlers({rpc.path: self._handler(rpc) for rpc in RPCS}),))
        address = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError as error:
            raise EnvironmentFault(
                f"cannot listen for gRPC on {address}: another program has the port, or the address is not this machine's; "
                "choose another with --grpc-port (-1 for no gRPC)"
            ) from error
        await server.start()
        self._server = server
        return bound

    async def drain(self, grace_s: float) -> None:
        """Take no more calls, finish those under way within `grace_s`, and close."""
        self._draining.set()
        if self._server is not None:
            await self._server.stop(grace_s)

    def _options(self) -> list[tuple[str, int]]:
        settings = self._settings
        return [
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", settings.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", settings.max_header_bytes),
            ("grpc.absolute_max_metadata_size", settings.max_header_bytes),
            ("grpc.max_concurrent_streams", 1024),
            ("grpc.server_handshake_timeout_ms", int(settings.receive_timeout_s * 1000)),
            ("grpc.max_connection_idle_ms", int(settings.keep_alive_s * 1000)),
            # A peer that is gone is found out; one that pings without end is sent away.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
            ("grpc.http2.max_ping_strikes", 5),
        ]

    def _handler(self, rpc: Rpc) -> grpc.RpcMethodHandler[Any, Any]:
        match rpc.answered_by:
            case "infer":
                return grpc.unary_unary_rpc_method_handler(self._predictions.infer)
            case "stream_infer":
                return grpc.stream_stream_rpc_method_handler(self._predictions.stream_infer)
            case "health_watch":
                return grpc.unary_stream_rpc_method_handler(self._streamed(rpc, self._methods.health_watch))
            case name:
                return grpc.unary_unary_rpc_method_handler(self._unary(rpc, getattr(self._methods, name)))

    # ---- every call

    def _admit(self, rpc: Rpc, model: str, context: Context) -> Principal:
        """The caller, if they may. The only place where a call is let in."""
        if rpc.role == OPEN or not self._access.required:
            return ANONYMOUS
        sent = dict(context.invocation_metadata() or ())
        token = bearer(str(sent.get("authorization", "")), str(sent.get("x-api-key", "")))
        return self._access.check(token, rpc.role, model or None, rpc.path, _address(context))

    def _admit_infer(self, model: str, context: Context) -> None:
        self._admit(INFER, model, context)

    def _read(self, rpc: Rpc, message: bytes, context: Context) -> tuple[Any, Principal]:
        """The message, and the caller, if they may send it."""
        try:
            request = rpc.message.FromString(message)
        except DecodeError as error:
            raise InvalidInput(f"the message is not a valid {rpc.message.DESCRIPTOR.full_name}") from error
        return request, self._admit(rpc, getattr(request, rpc.model) if rpc.model else "", context)

    def _unary(self, rpc: Rpc, answer: Callable[[Any, Principal], Awaitable[Message]]) -> Callable[..., Awaitable[bytes]]:
        async def call(message: bytes, context: Context) -> bytes:
            try:
                request, caller = self._read(rpc, message, context)
                if rpc.role not in ACTS:
                    return (await answer(request, caller)).SerializeToString()
                act = f"{rpc.name} {getattr(request, rpc.model) if rpc.model else ''}".rstrip()
                return (await self._recorded(act, caller, context, answer(request, caller))).SerializeToString()
            except ServableError as error:
                return await refuse(context, error)
            except Exception as error:  # noqa: BLE001 - the wall: a caller gets a status, never a traceback
                return await refuse(context, unexpected(error))

        return call

    def _streamed(
        self, rpc: Rpc, answers: Callable[[Any, Principal], AsyncIterator[Message]]
    ) -> Callable[..., AsyncIterator[bytes]]:
        async def call(message: bytes, context: Context) -> AsyncIterator[bytes]:
            try:
                async for answer in answers(*self._read(rpc, message, context)):
                    yield answer.SerializeToString()
            except ServableError as error:
                await refuse(context, error)
            except Exception as error:  # noqa: BLE001 - the wall: a caller gets a status, never a traceback
                await refuse(context, unexpected(error))

        return call

    async def _recorded(self, act: str, caller: Principal, context: Context, change: Awaitable[Message]) -> Message:
        result = "failed"
        try:
            done = await change
            result = "done"
        except ServableError as error:
            result = error.code
            raise
        finally:
            audit = self._access.audit
            if audit is not None:
                await asyncio.to_thread(audit.act, caller.name, act, _address(context), result)
        return done


class _Handlers(grpc.GenericRpcHandler):
    """Method path to its handler; gRPC answers UNIMPLEMENTED to any other."""

    def __init__(self, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)


def _address(context: Context) -> str:
    """Where the call comes from, without gRPC's word for the family, and without the port."""
    _, _, address = context.peer().partition(":")
    return address.rpartition(":")[0]
