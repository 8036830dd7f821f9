"""Routes at the doors: every protocol says who answered in the place of another, and lets callers name their unit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc.aio as triton_grpc
from onnx import TensorProto, helper, numpy_helper

from servable.domain.route import Route
from servable.engine.plan import Plan, Target
from tests.server import grpc_served
from tests.server.rest_served import Served, served

ROUTE = Route("1", "2", 0.5, fallback="spare", salt="s")
UNITS = [str(n) for n in range(8)]


def table(path: Path, offset: float, known: int) -> Path:
    """y = x + offset for the x that it knows; beyond, it fails."""
    values = numpy_helper.from_array(np.arange(known, dtype=np.float32) + np.float32(offset), "values")
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["values", "i"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1]) for name in "xy")
    graph = helper.make_graph(nodes, "table", [x], [y], [values])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    home = tmp_path_factory.mktemp("models")
    made = {name: table(home / f"{name}.onnx", offset, known) for name, offset, known in TABLES}
    return {"m": {"1": made["live"], "2": made["canary"]}, "spare": {"7": made["spare"]}}


TABLES = (("live", 100, 20), ("canary", 200, 10), ("spare", 300, 30))


def plan(models: dict[str, dict[str, Path]]) -> Plan:
    targets = [Target(name, version, str(path)) for name, own in models.items() for version, path in own.items()]
    return Plan(tuple(targets), {"m": ROUTE, "spare": Route("7")})


@pytest.fixture
def door(models: dict[str, dict[str, Path]], tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, models) as open_door:
        open_door.run(open_door.host.converge(plan(models)))
        yield open_door


def v2(door: Served, x: float, unit: str) -> dict[str, Any]:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [x]}
    headers = {"x-servable-unit": unit}
    found: dict[str, Any] = door.post("/v2/models/m/infer", json={"inputs": [tensor]}, headers=headers).json()
    return found | {"value": found["outputs"][0]["data"][0]}


def v1(door: Served, x: float, unit: str) -> dict[str, Any]:
    headers = {"x-servable-unit": unit}
    found: dict[str, Any] = door.post("/v1/models/m:predict", json={"instances": [[x]]}, headers=headers).json()
    return found | {"value": np.ravel(found["predictions"])[0]}


def invocations(door: Served, x: float, unit: str) -> dict[str, Any]:
    headers = {"x-servable-unit": unit, "x-amzn-sagemaker-target-model": "m"}
    found: dict[str, Any] = door.post("/invocations", json={"instances": [[x]]}, headers=headers).json()
    return found | {"value": np.ravel(found["predictions"])[0]}


@pytest.mark.parametrize("ask", [v2, v1, invocations])
def test_who_answered_is_told(door: Served, ask: Any) -> None:
    met = set()
    for unit in UNITS:
        chosen = ROUTE.choose(unit)
        met.add(chosen)
        good = ask(door, 5.0, unit)
        assert (good["value"], good["model_name"], good["model_version"]) == (5 + 100 * int(chosen), "m", chosen)
        assert "fallback" not in good.get("parameters", {})
        stood_in = ask(door, 15.0, unit)  # more than the canary knows
        assert (stood_in["value"], stood_in["model_version"]) == (115, "1")
        assert stood_in.get("parameters", {}).get("fallback") == (None if chosen == "1" else "m:1")
        spared = ask(door, 25.0, unit)  # more than any version knows
        assert (spared["value"], spared["model_name"], spared["model_version"]) == (325, "spare", "7")
        assert spared["parameters"] == {
            "fallback": "spare:7",
            "fallback_reason": spared["parameters"]["fallback_reason"],
        }
    assert met == {"1", "2"}


def test_grpc_tells_it_too(models: dict[str, dict[str, Path]]) -> None:
    async def tell() -> None:
        async with grpc_served.served(models) as door:
            await door.host.converge(plan(models))
            client = triton_grpc.InferenceServerClient(door.address)
            for unit in UNITS:
                asked = triton_grpc.InferInput("x", [1, 1], "FP32")
                asked.set_data_from_numpy(np.array([[15]], np.float32))
                answer = (await client.infer("m", [asked], headers={"x-servable-unit": unit})).get_response()
                chosen = ROUTE.choose(unit)
                assert (answer.model_name, answer.model_version) == ("m", "1")
                assert ("fallback" in answer.parameters) == (chosen == "2")
            await client.close()

    asyncio.run(tell())
