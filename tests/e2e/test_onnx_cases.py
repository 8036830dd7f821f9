"""The ONNX project's test cases through the doors: the answer is onnxruntime's own, or a clear refusal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
import tritonclient.grpc.aio as triton_grpc

from servable.client.exchange import answer, request
from servable.domain.datatypes import datatype_of
from servable.errors import ServableError
from tests.e2e import onnx_cases
from tests.server import grpc_served, rest_served

TOGETHER = 60
FEW = 24
"""Each so many-th case is asked in every run of the tests; all of them with the long ones."""


class Outcome(NamedTuple):
    """`refused` says why the model, or the request, was; else `exact` is whether it said what onnxruntime says, and
    `right` whether that is what the case demands.
    """

    name: str
    refused: str = ""
    exact: bool = False
    right: bool = False


def asked_over_rest(folders: list[Path], home: Path) -> list[Outcome]:
    cases = [onnx_cases.read(folder) for folder in folders]
    outcomes = []
    with rest_served.served(home, {case.name: {"1": case.path} for case in cases}) as door:
        failures = {state.name: state.reason for state in door.host.failures()}
        for case in cases:
            if case.name in failures:
                outcomes.append(Outcome(case.name, f"model: {failures[case.name]}"))
                continue
            try:
                found = over_rest(door, case)
            except ServableError as error:
                outcomes.append(Outcome(case.name, f"request: {error.message}"))
                continue
            outcomes.append(judged(case, found))
    return outcomes


def over_rest(door: rest_served.Served, case: onnx_cases.Case) -> dict[str, Any]:
    call = request(case.name, door.get(f"/v2/models/{case.name}").json(), case.inputs)
    told: httpx.Response = door.post(call.path, content=call.body, headers=call.headers)
    return answer(told.status_code, told.headers, told.content)


def judged(case: onnx_cases.Case, found: dict[str, Any]) -> Outcome:
    own = onnx_cases.asked_in_process(case)
    exact = found.keys() == own.keys() and all(onnx_cases.same(found[name], own[name]) for name in own)
    right = all(expected is not None and onnx_cases.close(found[n], expected) for n, expected in case.outputs.items())
    return Outcome(case.name, "", exact, right)


async def asked_over_grpc(folders: list[Path]) -> list[Outcome]:
    cases = [onnx_cases.read(folder) for folder in folders]
    outcomes = []
    async with grpc_served.served({case.name: {"1": case.path} for case in cases}) as door:
        failures = {state.name: state.reason for state in door.host.failures()}
        async with triton_grpc.InferenceServerClient(door.address) as client:
            for case in cases:
                if case.name in failures:
                    outcomes.append(Outcome(case.name, f"model: {failures[case.name]}"))
                    continue
                inputs = []
                for name, array in case.inputs.items():
                    tensor = triton_grpc.InferInput(name, list(array.shape), datatype_of(array.dtype))
                    tensor.set_data_from_numpy(array)
                    inputs.append(tensor)
                try:
                    told = await client.infer(case.name, inputs)
                except triton_grpc.InferenceServerException as error:
                    outcomes.append(Outcome(case.name, f"request: {error.message()}"))
                    continue
                names = [output.name for output in told.get_response().outputs]
                outcomes.append(judged(case, {name: decoded(told.as_numpy(name)) for name in names}))
    return outcomes


def decoded(array: Any) -> Any:
    if array.dtype != object:
        return array
    return np.array([text.decode() for text in array.flat], object).reshape(array.shape)


def hold(outcomes: list[Outcome]) -> None:
    """Whoever answered said what onnxruntime says; whoever did not said why."""
    assert [outcome.name for outcome in outcomes if not outcome.refused and not outcome.exact] == []
    assert all(len(outcome.refused) > 20 for outcome in outcomes if outcome.refused)


def test_some_cases_over_rest(tmp_path: Path) -> None:
    outcomes = asked_over_rest(onnx_cases.paths()[::FEW], tmp_path)
    hold(outcomes)
    assert sum(outcome.right for outcome in outcomes) >= 0.7 * len(outcomes)


async def test_some_cases_over_grpc() -> None:
    outcomes = await asked_over_grpc(onnx_cases.paths()[FEW // 2 :: FEW])
    hold(outcomes)
    assert sum(outcome.right for outcome in outcomes) >= 0.7 * len(outcomes)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_all_cases_over_rest(tmp_path: Path) -> None:
    outcomes = [
        outcome
        for number, folders in enumerate(onnx_cases.parts(onnx_cases.paths(), TOGETHER))
        for outcome in asked_over_rest(folders, tmp_path / str(number))
    ]
    report(outcomes)
    hold(outcomes)
    assert sum(outcome.right for outcome in outcomes) >= 1500


@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_all_cases_over_grpc() -> None:
    outcomes = []
    for folders in onnx_cases.parts(onnx_cases.paths(), TOGETHER):
        outcomes += await asked_over_grpc(folders)
    report(outcomes)
    hold(outcomes)
    assert sum(outcome.right for outcome in outcomes) >= 1500


def report(outcomes: list[Outcome]) -> None:
    refused = [outcome for outcome in outcomes if outcome.refused]
    exact, right = (sum(getattr(outcome, word) for outcome in outcomes) for word in ("exact", "right"))
    print(f"{len(outcomes)} cases: {exact} as onnxruntime says, {right} of them as demanded, {len(refused)} refused")
    reasons = Counter(outcome.refused[:60] for outcome in refused)
    for reason, count in reasons.most_common(25):
        print(f"{count:5} {reason}")
    print(*(outcome.name for outcome in outcomes if not outcome.refused and not outcome.right))
    print("inexact:", *(outcome.name for outcome in outcomes if not outcome.refused and not outcome.exact))
