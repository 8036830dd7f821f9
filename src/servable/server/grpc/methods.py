"""The gRPC methods that describe and manage: health, metadata, configuration, statistics, repository, and refusals.

Not predictions, access or errors: those are `door.py`'s, which calls these by the names in its table, each with the
request's message and the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from google.protobuf.json_format import ParseDict

from servable.engine.host import Host
from servable.engine.router import Router
from servable.engine.serving import Serving
from servable.errors import BundleError, NotFound, NotReady, Unsupported
from servable.server import describe
from servable.server.access.access import Principal
from servable.server.repository import Repository
from servable.wire.generated import health_pb2
from servable.wire.generated import open_inference_pb2 as pb

SERVICE: Final = "inference.GRPCInferenceService"
HEALTH: Final = "grpc.health.v1.Health"
WATCH_S: Final = 0.25
"""How often a watched state is looked at."""

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Methods:
    """One method each. All raise ServableError."""

    def __init__(self, router: Router, host: Host, repository: Repository, draining: asyncio.Event) -> None:
        self._router = router
        self._host = host
        self._repository = repository
        self._draining = draining

    # ---- health

    async def server_live(self, _request: pb.ServerLiveRequest, _caller: Principal) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def server_ready(self, _request: pb.ServerReadyRequest, _caller: Principal) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._host.ready)

    async def model_ready(self, request: pb.ModelReadyRequest, _caller: Principal) -> pb.ModelReadyResponse:
        """False for a model that is not known, too, as Triton has it."""
        return pb.ModelReadyResponse(ready=self._state(request.name, request.version) == SERVING)

    async def health_check(
        self, request: health_pb2.HealthCheckRequest, _caller: Principal
    ) -> health_pb2.HealthCheckResponse:
        state = self._health(request.service)
        if state == UNKNOWN:
            raise NotFound(f"no service {request.service!r}: ask for '' (the server), {SERVICE!r} or a model's name")
        return health_pb2.HealthCheckResponse(status=state)

    async def health_watch(
        self, request: health_pb2.HealthCheckRequest, _caller: Principal
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The state, and each change of it, until the server goes."""
        told: health_pb2.HealthCheckResponse.ServingStatus | None = None
        while True:
            ending = self._draining.is_set()
            state = self._health(request.service)
            if state != told:
                told = state
                yield health_pb2.HealthCheckResponse(status=state)
            if ending:
                return
            try:
                async with asyncio.timeout(WATCH_S):
                    await self._draining.wait()
            except TimeoutError:
                continue

    def _health(self, service: str) -> health_pb2.HealthCheckResponse.ServingStatus:
        if service in {"", SERVICE, HEALTH}:
            return SERVING if self._host.ready else NOT_SERVING
        return self._state(service, "")

    def _state(self, name: str, version: str) -> health_pb2.HealthCheckResponse.ServingStatus:
        try:
            self._router.pick(name, version or None)
        except NotReady:
            return NOT_SERVING
        except NotFound:
            return UNKNOWN
        return SERVING

    # ---- what there is

    async def server_metadata(
        self, _request: pb.ServerMetadataRequest, _caller: Principal
    ) -> pb.ServerMetadataResponse:
        return ParseDict(describe.server(), pb.ServerMetadataResponse())

    async def model_metadata(self, request: pb.ModelMetadataRequest, _caller: Principal) -> pb.ModelMetadataResponse:
        serving = self._pick(request)
        versions = [other.version for other in self._host.servings() if other.name == serving.name]
        return ParseDict(describe.metadata(serving, versions), pb.ModelMetadataResponse(), ignore_unknown_fields=True)

    async def model_config(self, request: pb.ModelConfigRequest, _caller: Principal) -> pb.ModelConfigResponse:
        return ParseDict({"config": describe.config(self._pick(request))}, pb.ModelConfigResponse())

    async def model_statistics(
        self, request: pb.ModelStatisticsRequest, caller: Principal
    ) -> pb.ModelStatisticsResponse:
        version = ""
        if request.name:
            serving = self._pick(request)
            version = serving.version if request.version else ""
        counted = [part for part in await self._repository.statistics() if caller.sees(part["name"])]
        told = describe.statistics(counted, request.name, version)
        return ParseDict(told, pb.ModelStatisticsResponse(), ignore_unknown_fields=True)

    def _pick(self, request: pb.ModelMetadataRequest | pb.ModelConfigRequest | pb.ModelStatisticsRequest) -> Serving:
        return self._router.pick(request.name, request.version or None)

    # ---- the repository

    async def repository_index(
        self, request: pb.RepositoryIndexRequest, caller: Principal
    ) -> pb.RepositoryIndexResponse:
        _no_other_repository(request.repository_name)
        states = [state for state in self._host.states() if caller.sees(state.name)]
        return ParseDict({"models": describe.index(states, ready=request.ready)}, pb.RepositoryIndexResponse())

    async def repository_load(
        self, request: pb.RepositoryModelLoadRequest, _caller: Principal
    ) -> pb.RepositoryModelLoadResponse:
        _no_other_repository(request.repository_name)
        states = await self._repository.load(request.model_name, _plain(request.parameters))
        failed = [f"version {state.version}: {state.reason}" for state in states if state.state == "UNAVAILABLE"]
        if failed:
            raise BundleError(f"model {request.model_name!r} could not be loaded: {'; '.join(failed)}")
        return pb.RepositoryModelLoadResponse()

    async def repository_unload(
        self, request: pb.RepositoryModelUnloadRequest, _caller: Principal
    ) -> pb.RepositoryModelUnloadResponse:
        _no_other_repository(request.repository_name)
        await self._repository.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse()

    # ---- what is not offered: its state reads as empty, and a change is refused

    async def system_memory_status(
        self, request: pb.SystemSharedMemoryStatusRequest, _caller: Principal
    ) -> pb.SystemSharedMemoryStatusResponse:
        _no_region(request.name)
        return pb.SystemSharedMemoryStatusResponse()

    async def cuda_memory_status(
        self, request: pb.CudaSharedMemoryStatusRequest, _caller: Principal
    ) -> pb.CudaSharedMemoryStatusResponse:
        _no_region(request.name)
        return pb.CudaSharedMemoryStatusResponse()

    async def memory_register(self, _request: Any, _caller: Principal) -> Any:
        raise Unsupported("shared memory with clients is not offered: send the values themselves, raw")

    async def system_memory_unregister(
        self, _request: pb.SystemSharedMemoryUnregisterRequest, _caller: Principal
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        return pb.SystemSharedMemoryUnregisterResponse()

    async def cuda_memory_unregister(
        self, _request: pb.CudaSharedMemoryUnregisterRequest, _caller: Principal
    ) -> pb.CudaSharedMemoryUnregisterResponse:
        return pb.CudaSharedMemoryUnregisterResponse()

    async def trace_setting(self, request: pb.TraceSettingRequest, _caller: Principal) -> pb.TraceSettingResponse:
        if request.settings:
            raise Unsupported("tracing by request is not offered: nothing was changed")
        if request.model_name:
            self._router.pick(request.model_name)
        reply = pb.TraceSettingResponse()
        reply.settings["trace_level"].value.append("OFF")
        return reply

    async def log_settings(self, request: pb.LogSettingsRequest, _caller: Principal) -> pb.LogSettingsResponse:
        if request.settings:
            raise Unsupported("logging is set when the server starts (log_level, log_format): nothing was changed")
        reply = pb.LogSettingsResponse()
        for name in ("log_info", "log_warning", "log_error"):
            reply.settings[name].bool_param = True
        reply.settings["log_verbose_level"].uint32_param = 0
        return reply


def _no_other_repository(name: str) -> None:
    if name:
        raise Unsupported(
            f"there is one repository, and it has no name: leave out 'repository_name' (got {name[:80]!r})"
        )


def _no_region(name: str) -> None:
    if name:
        raise NotFound(f"no region {name[:80]!r}: shared memory with clients is not offered")


def _plain(parameters: Mapping[str, pb.ModelRepositoryParameter]) -> dict[str, Any]:
    kinds = {name: parameter.WhichOneof("parameter_choice") for name, parameter in parameters.items()}
    return {name: getattr(parameters[name], kind) if kind else None for name, kind in kinds.items()}
