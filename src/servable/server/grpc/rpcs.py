"""Rpcs: every gRPC method there is, the role that it demands, and what answers it. `door.py` goes by it.

What is not here, nor brought by a shelf, does not exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, NamedTuple

from google.protobuf.message import Message

from servable.domain.endpoint import Role
from servable.server.access.access import Principal
from servable.server.grpc.methods import HEALTH, SERVICE
from servable.wire.generated import health_pb2
from servable.wire.generated import open_inference_pb2 as pb

OPEN: Final = "open"
"""The role of a method that asks for no key."""


class Rpc(NamedTuple):
    """One method: its role, the message it takes, and the name of what answers it (in Methods, but for predictions).

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
    Rpc(
        "SystemSharedMemoryUnregister", "admin", pb.SystemSharedMemoryUnregisterRequest, "system_memory_unregister", ""
    ),
    Rpc("CudaSharedMemoryStatus", "viewer", pb.CudaSharedMemoryStatusRequest, "cuda_memory_status", ""),
    Rpc("CudaSharedMemoryRegister", "admin", pb.CudaSharedMemoryRegisterRequest, "memory_register", ""),
    Rpc("CudaSharedMemoryUnregister", "admin", pb.CudaSharedMemoryUnregisterRequest, "cuda_memory_unregister", ""),
    Rpc("TraceSetting", "viewer", pb.TraceSettingRequest, "trace_setting", "model_name"),
    Rpc("LogSettings", "viewer", pb.LogSettingsRequest, "log_settings", ""),
)
"""Every method there is. Reading what is traced and logged is a viewer's; changing it is offered to nobody."""

Answer = Callable[[Any, Principal], Awaitable[Message]]
"""Takes the request's message and the caller. Raises ServableErrors."""

BY_PATH: Final = {rpc.path: rpc for rpc in RPCS}
INFER: Final = next(rpc for rpc in RPCS if rpc.name == "ModelInfer")
ACTS: Final = frozenset({"deployer", "admin"})
"""Roles whose calls change the server, and are written down in the audit log, whatever came of them."""
