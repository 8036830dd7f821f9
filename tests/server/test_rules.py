"""Rules at the doors: the same rows meet the same rules over every protocol, and every answer says what they did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pandas as pd
import pytest
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http as triton

import servable
from servable.bundles.open import open_bundle
from servable.bundles.ruled import ruled
from servable.errors import Refused
from tests.packed import bundle_at
from tests.server import grpc_served
from tests.server.rest_served import Served, served

RULES = [
    {"name": "first", "column": "x[0]", "low": 0, "action": "refuse", "severity": "error", "reason": "no debts"},
    {"name": "second", "column": "x[1]", "high": 10, "action": "clip"},
    {"name": "pair", "when": "x[0] > 2 * x[1]", "action": "flag"},
    {"name": "hundred", "when": "x[0] == 100", "action": "answer", "answer": {"y": [-1, -2]}},
    {"name": "simple", "when": "x[0] == 50", "action": "fallback", "fallback": "simple"},
]
ROWS = [[1, 1], [5, 20], [9, 2], [100, 60], [50, 30]]
ANSWERS = [[2, 2], [10, 20], [18, 4], [-1, -2], [150, 90]]
TOLD = {
    "rule.second": "clip rows 1",
    "rule.pair": "flag rows 2",
    "rule.hundred": "answer rows 3",
    "rule.simple": "fallback to simple:1 rows 4",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    home = tmp_path_factory.mktemp("models")
    plain = open_bundle(bundle_at(home / "plain", "guarded"))
    simple = bundle_at(home / "simple", "simple", factor=3.0)
    return {"guarded": {"1": ruled(plain, RULES, home / "guarded").folder}, "simple": {"1": simple}}


@pytest.fixture(scope="module")
def door(models: dict[str, dict[str, Path]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("home"), models) as open_door:
        yield open_door


def tensors(rows: list[list[float]]) -> dict[str, object]:
    data = [value for row in rows for value in row]
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(rows), 2], "data": data}]}


@pytest.mark.parametrize("query", ["", "?the=ordinary-way"])
def test_tensors(door: Served, query: str) -> None:
    found = door.post(f"/v2/models/guarded/infer{query}", json={**tensors(ROWS), "id": "mine"}).json()
    assert found["outputs"][0]["data"] == [value for row in ANSWERS for value in row]
    assert found["parameters"] == TOLD
    assert found["id"] == "mine"
    quiet = door.post(f"/v2/models/guarded/infer{query}", json=tensors(ROWS[:1])).json()
    assert "parameters" not in quiet


def test_binary_tensors(door: Served) -> None:
    client = triton.InferenceServerClient(door.url.removeprefix("http://"))
    try:
        asked = triton.InferInput("x", [5, 2], "FP32")
        asked.set_data_from_numpy(np.array(ROWS, np.float32))
        for binary in (True, False):
            answer = client.infer("guarded", [asked], outputs=[triton.InferRequestedOutput("y", binary_data=binary)])
            assert answer.as_numpy("y").tolist() == ANSWERS
            assert answer.get_response()["parameters"] == TOLD
    finally:
        client.close()


def test_our_own_client(door: Served) -> None:
    with servable.Client(door.url) as client:
        outputs = client.predict("guarded", {"x": np.array(ROWS, np.float32)})
        assert outputs["y"].tolist() == ANSWERS
        assert outputs.parameters == TOLD
        assert client.predict("guarded", {"x": np.ones((1, 2), np.float32)}).parameters == {}
        framed = client.predict("guarded", pd.DataFrame(ROWS, columns=["a", "b"], dtype=np.float32))
        assert framed.attrs == TOLD
        with pytest.raises(Refused, match="rule 'first': no debts") as refused:
            client.predict("guarded", {"x": np.array([[-1, 0]], np.float32)})
        assert refused.value.detail["rules"][0]["rows"] == "0"


def test_v1(door: Served) -> None:
    found = door.post("/v1/models/guarded:predict", json={"instances": ROWS}).json()
    assert found["predictions"] == ANSWERS
    assert found["parameters"] == TOLD


def test_invocations(door: Served) -> None:
    to_guarded = {"X-Amzn-SageMaker-Target-Model": "guarded"}
    found = door.post("/invocations", json={"instances": ROWS}, headers=to_guarded).json()
    assert (found["predictions"], found["parameters"]) == (ANSWERS, TOLD)
    lines = "\n".join(",".join(map(str, row)) for row in ROWS)
    as_csv = {**to_guarded, "Content-Type": "text/csv", "Accept": "text/csv"}
    answer = door.post("/invocations", content=lines, headers=as_csv)
    assert answer.text.splitlines()[2] == "18.0,4.0"
    assert "fallback to simple:1 rows 4" in answer.headers["servable-parameters"]


async def test_grpc(models: dict[str, dict[str, Path]]) -> None:
    async with grpc_served.served(models) as door, triton_grpc.InferenceServerClient(door.address) as client:
        asked = triton_grpc.InferInput("x", [5, 2], "FP32")
        asked.set_data_from_numpy(np.array(ROWS, np.float32))
        answer = await client.infer("guarded", [asked])
        assert answer.as_numpy("y").tolist() == ANSWERS
        told = answer.get_response().parameters
        assert {name: told[name].string_param for name in told} == TOLD
        asked = triton_grpc.InferInput("x", [1, 2], "FP32")
        asked.set_data_from_numpy(np.array([[-1, 2]], np.float32))
        with pytest.raises(triton_grpc.InferenceServerException) as refused:
            await client.infer("guarded", [asked])
        assert refused.value.status() == str(grpc.StatusCode.FAILED_PRECONDITION)
        assert "rule 'first': no debts; expected 'x[0]' at least 0, got -1 (row 0)" in refused.value.message()
        await asyncio.sleep(0)


def _refused(answer: httpx.Response) -> None:
    assert answer.status_code == 422
    body = answer.json()
    assert body["code"] == "refused"
    (rule,) = body["rules"]
    assert (rule["rule"], rule["severity"], rule["rows"], rule["reason"]) == ("first", "error", "1,3", "no debts")
    assert rule["got"] == "-1 (row 1), -3 (row 3)"


def test_a_refusal_is_the_same_everywhere(door: Served) -> None:
    rows = [[1, 1], [-1, 1], [1, 1], [-3, 1]]
    _refused(door.post("/v2/models/guarded/infer", json=tensors(rows)))
    _refused(door.post("/v1/models/guarded:predict", json={"instances": rows}))
    to_guarded = {"X-Amzn-SageMaker-Target-Model": "guarded"}
    _refused(door.post("/invocations", json={"instances": rows}, headers=to_guarded))


def test_rules_are_counted(door: Served) -> None:
    before = _rows_of(door)
    door.post("/v2/models/guarded/infer", json=tensors(ROWS))
    door.post("/v2/models/guarded/infer", json=tensors([[-1, 1]]))
    after = _rows_of(door)
    gained = {name: after[name] - before.get(name, 0) for name in after}
    assert gained == {"first refuse": 1, "second clip": 3, "pair flag": 1, "hundred answer": 1, "simple fallback": 1}


def _rows_of(door: Served) -> dict[str, float]:
    found = {}
    for line in door.get("/metrics").text.splitlines():
        if line.startswith("servable_rule_rows_total{"):
            labels, _, value = line.partition("} ")
            parts = dict(pair.split("=") for pair in labels.partition("{")[2].split(","))
            found[f"{parts['rule']} {parts['action']}".replace('"', "")] = float(value)
    return found
