"""A version with rules in a host: rows go where rules say, every caller gets one answer, and all of it is counted."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle, Manifest
from servable.domain.field import Field
from servable.domain.record import Record
from servable.domain.route import Route
from servable.domain.rule import Fired, Rule
from servable.domain.signature import Signature
from servable.engine.host import Host
from servable.engine.loading import Loaded
from servable.engine.plan import Plan, Target
from servable.engine.policy import CostCurve
from servable.engine.request import Request
from servable.errors import ModelFailed, NotReady, Refused
from servable.rules.guard import Guard

SIGNATURE = Signature((Field("x", "FP32"), Field("z", "FP32")), (Field("y", "FP32"),))
SIMPLE = Signature((Field("z", "FP32"),), (Field("y", "FP32"), Field("more", "FP32")))


class Sum:
    """y = x + z; fails where x is 13."""

    concurrent = False

    def predict(self, batch: Batch) -> Batch:
        if (batch["x"] == 13).any():
            raise ValueError("unlucky")
        return Batch({"y": batch["x"] + batch["z"]})

    def close(self) -> None:
        pass


class Simple:
    """y = -z, of one input."""

    concurrent = False

    def predict(self, batch: Batch) -> Batch:
        return Batch({"y": -batch["z"], "more": batch["z"]})

    def close(self) -> None:
        pass


RULES = [
    Rule("low", column="x", low=0, action="refuse", reason="x counts things"),
    Rule("big", column="x", high=100, action="clip"),
    Rule("odd", when="x == 7", action="flag", severity="info"),
    Rule("ten", when="x == 10", action="answer", answer={"y": -1.0}),
    Rule("far", when="z > 50", action="fallback", fallback="simple"),
    Rule("lost", when="z == 40", action="fallback", fallback="nobody@champion"),
    Rule("circle", when="z == 30", action="fallback", fallback="m"),
    Rule("much", column="output.y", high=150, action="fallback", fallback="simple:1"),
    Rule("never", when="output.y == 42", action="refuse", severity="error"),
]


def load(target: Target) -> Loaded:
    simple = target.name == "simple"
    signature = SIMPLE if simple else SIGNATURE
    bundle = Bundle(Path("/none"), Manifest(target.name, "fake", "m", "fake", signature, ()), "0")
    guard = None if simple else Guard(RULES, signature)
    return Loaded(bundle, Simple() if simple else Sum(), CostCurve([(1, 1e-6)]), guard)


async def hosted(records: list[Record]) -> Host:
    host = Host(load, on_record=records.extend)
    names = ("m", "simple")
    await host.converge(Plan(tuple(Target(n, "1", "") for n in names), {n: Route("1") for n in names}))
    return host


async def ask(host: Host, x: list[float], z: list[float]) -> Request:
    future: asyncio.Future[Request] = asyncio.get_running_loop().create_future()
    batch = Batch({"x": np.array(x, np.float32), "z": np.array(z, np.float32)})
    host.table["m"].versions["1"].submit(Request("q", batch, future.set_result, monotonic() + 10))
    return await future


async def test_rows_go_where_rules_say_and_come_back_in_order() -> None:
    records: list[Record] = []
    host = await hosted(records)
    request = await ask(host, [1, 500, 7, 10, 2, 90], [1, 1, 1, 1, 60, 3])
    assert request.answer is not None
    assert request.result()["y"].tolist() == [2.0, 101.0, 8.0, -1.0, -60.0, 93.0]
    assert request.answer.parameters == {
        "rule.big": "clip rows 1",
        "rule.odd": "flag rows 2",
        "rule.ten": "answer rows 3",
        "rule.far": "fallback to simple:1 rows 4",
    }
    own = [record for record in records if record.model == "m"]
    assert len(own) == 1
    assert own[0].rows == 6
    assert own[0].inputs is not None and own[0].inputs["x"][1] == 500
    assert own[0].outputs is not None and own[0].outputs["y"][4] == -60
    assert [fired.rule.name for fired in own[0].fired] == ["big", "odd", "ten", "far"]
    stats = host.table["m"].versions["1"].stats
    assert stats.success == 1
    assert stats.rules == {
        "big clip warning": 1,
        "odd flag info": 1,
        "ten answer warning": 1,
        "far fallback warning": 1,
    }
    await host.drain(5)


async def test_a_request_that_no_rule_concerns_is_one_like_any_other() -> None:
    plain = Guard(RULES[:5], SIGNATURE)
    assert not plain.answers
    records: list[Record] = []
    host = Host(lambda target: load(target)._replace(guard=plain), on_record=records.extend)
    await host.converge(Plan((Target("m", "1", ""),), {"m": Route("1")}))
    both = await asyncio.gather(ask(host, [1], [1]), ask(host, [2], [2]))
    assert [request.result()["y"].tolist() for request in both] == [[2.0], [4.0]]
    assert [request.answer.parameters for request in both if request.answer] == [None, None]
    stats = host.table["m"].versions["1"].stats
    assert (stats.success, len(records)) == (2, 2)
    await host.drain(5)


async def test_an_answer_is_judged_too_and_handed_over() -> None:
    records: list[Record] = []
    host = await hosted(records)
    request = await ask(host, [100, 1], [51, 1])
    assert request.result()["y"].tolist() == [-51.0, 2.0]
    assert request.answer is not None
    assert request.answer.parameters == {"rule.far": "fallback to simple:1 rows 0"}
    request = await ask(host, [100, 101, 1], [50, 51, 1])
    assert request.answer is not None
    assert request.answer.parameters == {"rule.far": "fallback to simple:1 rows 1"}  # as it came, not clipped
    request = await ask(host, [110, 99], [50, 45])
    assert request.result()["y"].tolist() == [150.0, 144.0]
    await host.drain(5)


@pytest.mark.parametrize(
    ("x", "z", "error", "told", "answered"),
    [
        (
            [-1, 5, -2],
            [1, 1, 1],
            Refused,
            "rule 'low': x counts things; expected 'x' at least 0, got -1 (row 0), -2",
            0,
        ),
        ([40], [2], Refused, "rule 'never': expected no row where output.y == 42, got output.y = 42 (row 0)", 0),
        ([1], [40], NotReady, "'nobody@champion', which is not served here", 0),
        ([1], [30], ModelFailed, "in a circle", 0),
        ([13], [1], ModelFailed, "the model failed with ValueError", 0),
        ([13, 10], [1, 1], ModelFailed, "the model failed with ValueError", 0),
    ],
)
async def test_what_fails_fails_once_and_says_why(x: Any, z: Any, error: Any, told: str, answered: int) -> None:
    records: list[Record] = []
    host = await hosted(records)
    request = await ask(host, x, z)
    assert isinstance(request.error, error)
    assert told in request.error.message
    stats = host.table["m"].versions["1"].stats
    assert (stats.success, stats.failure[request.error.code] > 0) == (answered, True)
    own = [record for record in records if record.model == "m"]
    assert {record.error for record in own} == {request.error.code}
    await host.drain(5)


async def test_a_refusal_lists_every_rule_and_row() -> None:
    host = await hosted([])
    request = await ask(host, [-1, 1, -3], [1, 1, 1])
    assert isinstance(request.error, Refused)
    (rule,) = request.error.detail["rules"]
    assert rule == {
        "rule": "low",
        "severity": "warning",
        "rows": "0,2",
        "reason": "x counts things",
        "expected": "'x' at least 0",
        "got": "-1 (row 0), -3 (row 2)",
    }
    await host.drain(5)


async def test_a_caller_who_goes_away_is_told_nothing() -> None:
    records: list[Record] = []
    host = await hosted(records)
    told: list[Request] = []
    batch = Batch({"x": np.array([7], np.float32), "z": np.array([1], np.float32)})
    request = Request("q", batch, told.append, monotonic() + 10)
    host.table["m"].versions["1"].submit(request)
    request.cancel()
    await ask(host, [7], [1])
    assert told == []
    assert len(records) == 1
    await host.drain(5)


async def test_requests_that_share_a_call_each_get_their_own() -> None:
    records: list[Record] = []
    host = Host(lambda target: load(target)._replace(guard=Guard(RULES[:5], SIGNATURE)), on_record=records.extend)
    await host.converge(Plan((Target("m", "1", ""),), {"m": Route("1")}))
    asked = [[1.0], [-1.0], [500.0, 1.0], [7.0], [10.0, 2.0], [10.0], [3.0]] * 5
    together = await asyncio.gather(*(ask(host, x, [1.0] * len(x)) for x in asked))
    expected = {
        (1.0,): [2],
        (-1.0,): None,
        (500.0, 1.0): [101, 2],
        (7.0,): [8],
        (10.0, 2.0): [-1, 3],
        (10.0,): [-1],
        (3.0,): [4],
    }
    for x, request in zip(asked, together, strict=True):
        answer = expected[tuple(x)]
        assert (request.answer is None) == (answer is None)
        assert answer is None or request.result()["y"].tolist() == answer
    stats = host.table["m"].versions["1"].stats
    assert (stats.success, stats.failure) == (30, {"refused": 5})
    assert len(records) == 35
    assert stats.pending == 0
    await host.drain(5)


async def test_what_was_let_in_is_answered_though_the_version_goes() -> None:
    host = Host(lambda target: load(target)._replace(guard=Guard(RULES[:5], SIGNATURE)))
    await host.converge(Plan((Target("m", "1", ""),), {"m": Route("1")}))
    asked = asyncio.gather(*(ask(host, [x, 2.0], [1.0, 1.0]) for x in (1.0, 500.0, 7.0)))
    await asyncio.sleep(0)
    await host.converge(Plan())
    assert [request.result()["y"].tolist() for request in await asked] == [[2, 3], [101, 3], [8, 3]]
    await host.drain(5)


async def test_many_rows_before_slow_rules_leave_the_loop_to_others() -> None:
    assert Guard(RULES[:2], SIGNATURE).quick
    threads: list[str] = []

    class Slow(Guard):
        def judge(self, batch: Batch) -> list[Fired]:
            threads.append(threading.current_thread().name)
            return super().judge(batch)

    for rules in (RULES[:5], RULES):
        threads.clear()
        guard = Slow(rules, SIGNATURE)
        host = Host(lambda target, guard=guard: load(target)._replace(guard=None if target.name == "simple" else guard))
        names = ("m", "simple")
        await host.converge(Plan(tuple(Target(n, "1", "") for n in names), {n: Route("1") for n in names}))
        request = await ask(host, [1.0] * 4998 + [500.0, 1.0], [1.0] * 4999 + [60.0])
        assert request.result()["y"].tolist() == [2.0] * 4998 + [101.0, -60.0]
        assert threads == [name for name in threads if name != threading.main_thread().name]
        assert (await ask(host, [-1.0] * 5000, [1.0] * 5000)).error is not None
        threads.clear()
        await ask(host, [1.0], [1.0])
        assert threads == [threading.main_thread().name]
        await host.drain(5)
