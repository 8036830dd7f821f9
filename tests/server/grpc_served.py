"""A gRPC door with real models behind it, for the tests of this folder: made in this process, on this loop."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from servable.domain.batch import Batch
from servable.domain.model import Model
from servable.domain.route import Route
from servable.engine.host import Host
from servable.engine.lane import Limits
from servable.engine.loading import Loaded, load
from servable.engine.plan import Plan, State, Target
from servable.engine.policy import CostCurve
from servable.engine.router import Router
from servable.engine.stats import Stats
from servable.errors import NotFound
from servable.server.access.access import Access
from servable.server.grpc.door import GrpcDoor
from servable.settings import Settings

ONNX_TYPES = {
    "BOOL": TensorProto.BOOL, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16, "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64, "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}  # fmt: skip


def save(path: Path, inputs: Any, outputs: Any, nodes: Any, constants: Any = ()) -> Path:
    """An ONNX file of these nodes. Inputs and outputs are (name, datatype, shape)."""
    values = [
        [helper.make_tensor_value_info(name, ONNX_TYPES[kind], shape) for name, kind, shape in side]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "model", *values, initializer=list(constants))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def scores(folder: Path, *, plus: float = 0.0) -> Path:
    """x [n, 3] to scores [n, 3] (x times 2, and `plus`) and best [n] (the index of the highest)."""
    constants = [numpy_helper.from_array(np.float32(2), "two"), numpy_helper.from_array(np.float32(plus), "plus")]
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["twice"]),
        helper.make_node("Add", ["twice", "plus"], ["scores"]),
        helper.make_node("ArgMax", ["x"], ["best"], axis=1, keepdims=0),
    ]
    return save(
        folder / "scores.onnx",
        [("x", "FP32", ["n", 3])],
        [("scores", "FP32", ["n", 3]), ("best", "INT64", ["n"])],
        nodes,
        constants,
    )


def echo(folder: Path) -> Path:
    """Every datatype back as it came: `in_fp32` [n, 2] to `out_fp32`, and so on."""
    kinds = {kind.lower(): kind for kind in ONNX_TYPES}
    return save(
        folder / "echo.onnx",
        [(f"in_{low}", kind, ["n", 2]) for low, kind in kinds.items()],
        [(f"out_{low}", kind, ["n", 2]) for low, kind in kinds.items()],
        [helper.make_node("Identity", [f"in_{low}"], [f"out_{low}"]) for low in kinds],
    )


class Gate:
    """A model that waits, before each call, until it is opened; `entered` counts the calls."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.opened = threading.Event()
        self.entered = 0
        self.rows: list[int] = []

    def predict(self, batch: Batch) -> Batch:
        self.entered += 1
        self.rows.append(batch.rows)
        assert self.opened.wait(30)
        return self.model.predict(batch)

    def close(self) -> None:
        self.opened.set()
        self.model.close()


class Files:
    """A Repository over a Host alone: what is declared is a table of name, version and file, which tests may change."""

    def __init__(self, host: Host, declared: Mapping[str, Mapping[str, Path]]) -> None:
        self.host = host
        self.declared = {name: dict(versions) for name, versions in declared.items()}
        self.loaded = set(self.declared)
        self.generation = 0

    async def converge(self) -> list[State]:
        names = sorted(self.loaded)
        return await self.host.converge(
            Plan(
                tuple(
                    Target(name, version, str(path), generation=self.generation)
                    for name in names
                    for version, path in self.declared[name].items()
                ),
                {name: Route(max(self.declared[name])) for name in names},
                {name: {"champion": min(self.declared[name])} for name in names},
            )
        )

    async def load(self, name: str, parameters: Mapping[str, Any]) -> list[State]:
        if name not in self.declared:
            raise NotFound(f"no model {name!r} is declared here")
        self.generation += 1
        self.loaded.add(name)
        return [state for state in await self.converge() if state.name == name]

    async def unload(self, name: str) -> list[State]:
        if name not in self.loaded:
            raise NotFound(f"no model {name!r} is loaded here")
        self.loaded.discard(name)
        return [state for state in await self.converge() if state.name == name]

    async def statistics(self) -> Sequence[Mapping[str, Any]]:
        return [
            {"name": serving.name, "version": serving.version, **serving.stats.snapshot()}
            for serving in self.host.servings()
        ]


class Served:
    """What a test may reach of a door that is open. `gates` holds the model of each version that was to be gated."""

    def __init__(self, door: GrpcDoor, host: Host, repository: Files, gates: dict[str, Gate], address: str) -> None:
        self.door = door
        self.host = host
        self.repository = repository
        self.gates = gates
        self.address = address

    def stats(self, name: str) -> Stats:
        """Of the version that answers."""
        return Router(self.host).pick(name).stats


@contextlib.asynccontextmanager
async def served(
    models: Mapping[str, Mapping[str, Path]],
    access: Access | None = None,
    *,
    gated: Sequence[str] = (),
    **settings: Any,
) -> AsyncIterator[Served]:
    """A door on a free port, with these models: name to version to file. Those `gated` wait in a Gate."""
    gates: dict[str, Gate] = {}

    def load_gated(target: Target) -> Loaded:
        loaded = load(target)
        if target.name not in gated:
            return loaded
        gates[target.name] = Gate(loaded.model)
        return loaded._replace(model=gates[target.name], curve=CostCurve([(1, 0.01), (128, 0.02)]))

    told = Settings(**settings)
    host = Host(load_gated, Limits(max_queue=told.max_queue))
    repository = Files(host, models)
    await repository.converge()
    door = GrpcDoor(Router(host), host, access or Access(None, required=False), repository, told)
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    await door.start([listening])
    try:
        yield Served(door, host, repository, gates, address)
    finally:
        for gate in gates.values():
            gate.opened.set()
        await door.drain(0)
        await host.drain(5)


def models(folder: Path | None = None) -> dict[str, dict[str, Path]]:
    """`scores` in two versions, and `echo`."""
    home = folder or Path(tempfile.mkdtemp())
    for version in ("1", "2"):
        (home / version).mkdir(exist_ok=True)
    return {
        "scores": {"1": scores(home / "1"), "2": scores(home / "2", plus=1.0)},
        "echo": {"1": echo(home / "1")},
    }
