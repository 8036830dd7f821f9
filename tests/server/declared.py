"""Small ONNX files and a Repository over a Host alone, for the doors' tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from servable.domain.route import Route
from servable.engine.host import Host
from servable.engine.plan import Plan, State, Target
from servable.errors import NotFound

TYPES = {"FP32": TensorProto.FLOAT, "BYTES": TensorProto.STRING}


class Files:
    """What is declared is a table of name, version and file, which tests may change. The highest version is live."""

    def __init__(self, host: Host, declared: Mapping[str, Mapping[str, Path]]) -> None:
        self.host = host
        self.declared = {name: dict(versions) for name, versions in declared.items()}
        self.loaded = set(self.declared)
        self.generation = 0

    async def converge(self) -> list[State]:
        names = sorted(self.loaded)
        targets = (
            Target(name, version, str(path), generation=self.generation)
            for name in names
            for version, path in self.declared[name].items()
        )
        routes = {name: Route(max(self.declared[name])) for name in names}
        aliases = {name: {"champion": min(self.declared[name])} for name in names}
        return await self.host.converge(Plan(tuple(targets), routes, aliases))

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
        return [{"name": s.name, "version": s.version, **s.stats.snapshot()} for s in self.host.servings()]


def linear(folder: Path) -> Path:
    """x [n, 3] to y [n, 1]: the sum."""
    nodes = [helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=1)]
    axis = numpy_helper.from_array(np.array([1]), "axis")
    return _save(folder / "linear.onnx", [("x", "FP32", 3)], [("y", "FP32", 1)], nodes, [axis])


def mixed(folder: Path) -> Path:
    """age [n, 1] and job (text) [n, 1] to job_bytes (the same text), double [n, 1]."""
    nodes = [helper.make_node("Identity", ["job"], ["job_bytes"]), helper.make_node("Add", ["age", "age"], ["double"])]
    inputs = [("age", "FP32", 1), ("job", "BYTES", 1)]
    return _save(folder / "mixed.onnx", inputs, [("job_bytes", "BYTES", 1), ("double", "FP32", 1)], nodes)


def reciprocal(folder: Path) -> Path:
    """x [n, 1] to y [n, 1]: 1/x, so that 0 gives infinity."""
    nodes = [helper.make_node("Reciprocal", ["x"], ["y"])]
    return _save(folder / "reciprocal.onnx", [("x", "FP32", 1)], [("y", "FP32", 1)], nodes)


def models(folder: Path) -> dict[str, dict[str, Path]]:
    """`linear` in two versions, `mixed` and `reciprocal`."""
    return {
        "linear": {"1": linear(folder), "2": linear(folder)},
        "mixed": {"1": mixed(folder)},
        "reciprocal": {"1": reciprocal(folder)},
    }


def _save(path: Path, inputs: Any, outputs: Any, nodes: Any, constants: Any = ()) -> Path:
    """An ONNX file of these nodes. Inputs and outputs are (name, datatype, columns)."""
    values = [
        [helper.make_tensor_value_info(name, TYPES[kind], ["n", columns]) for name, kind, columns in side]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "model", *values, initializer=list(constants))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path
