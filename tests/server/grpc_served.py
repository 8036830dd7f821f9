"""A gRPC door with real models behind it, for the tests of this folder: made in this process, on this loop."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from servable.domain.route import Route
from servable.engine.host import Host
from servable.engine.loading import load
from servable.engine.plan import Plan, State, Target
from servable.engine.router import Router
from servable.errors import NotFound
from servable.server.access import Access
from servable.server.grpc import GrpcDoor
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


def slow(folder: Path, rounds: int = 4000) -> Path:
    """x [n, 3] to y [n, 3], by many rounds of a large matrix product: a call that takes some 0.1 s and more."""
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.standard_normal((3, 400)).astype(np.float32), "up"),
        numpy_helper.from_array((rng.standard_normal((400, 400)) / 20).astype(np.float32), "w"),
        numpy_helper.from_array(rng.standard_normal((400, 3)).astype(np.float32), "down"),
        numpy_helper.from_array(np.int64(rounds), "rounds"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h_in", "w"], ["m"]),
            helper.make_node("Tanh", ["m"], ["h_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h_in", TensorProto.FLOAT, ["n", 400]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h_out", TensorProto.FLOAT, ["n", 400]),
        ],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "up"], ["h0"]),
        helper.make_node("Loop", ["rounds", "yes", "h0"], ["h"], body=body),
        helper.make_node("MatMul", ["h", "down"], ["y"]),
    ]
    return save(folder / "slow.onnx", [("x", "FP32", ["n", 3])], [("y", "FP32", ["n", 3])], nodes, constants)


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
    """What a test may reach of a door that is open."""

    def __init__(self, door: GrpcDoor, host: Host, repository: Files, address: str) -> None:
        self.door = door
        self.host = host
        self.repository = repository
        self.address = address


@contextlib.asynccontextmanager
async def served(
    models: Mapping[str, Mapping[str, Path]], access: Access | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """A door on a free port of this machine, with these models: name to version to file."""
    host = Host(load)
    repository = Files(host, models)
    await repository.converge()
    door = GrpcDoor(Router(host), host, access or Access(None, required=False), repository, Settings(**settings))
    port = await door.start("127.0.0.1", 0)
    try:
        yield Served(door, host, repository, f"127.0.0.1:{port}")
    finally:
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
