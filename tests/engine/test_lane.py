"""The lane with models that tell what they were asked. Echo models answer f(input), so a swapped answer is seen."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.engine.lane import Lane, Limits
from servable.engine.policy import CostCurve
from servable.engine.request import NEVER, Request
from servable.engine.stats import Stats
from servable.errors import DeadlineExceeded, ModelFailed, NotReady, Overloaded

SIGNATURE = Signature((Field("x", "FP32", (-1, 1)),), (Field("y", "FP32", (-1, 1)),))
Curve = tuple[tuple[int, float], ...]
QUICK: Curve = ((1, 1e-6), (128, 1e-6))
SLOW: Curve = ((1, 0.01), (8, 0.01), (128, 0.01))


class Doubler:
    """y = 2x; notes rows and thread of each call; waits for `gate` if there is one."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.calls: list[int] = []
        self.threads: set[int] = set()
        self.gate = gate
        self.closed = 0

    def predict(self, batch: Batch) -> Batch:
        self.calls.append(batch.rows)
        self.threads.add(threading.get_ident())
        if self.gate is not None:
            assert self.gate.wait(10)
        return Batch({"y": batch["x"] * 2})

    def close(self) -> None:
        self.closed += 1


def lane(model: Any, curve: Curve = QUICK, max_queue: int = 100) -> Lane:
    return Lane(model, SIGNATURE, CostCurve(curve), Stats(), Limits(max_queue=max_queue))


class Asker:
    """Sends numbers, and gathers who was answered what."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.done: dict[str, Request] = {}
        self.sent: list[Request] = []

    def ask(self, name: str, *values: float, within_s: float = NEVER, priority: int = 0) -> Request:
        batch = Batch({"x": np.array(values, np.float32).reshape(-1, 1)})
        request = Request(name, batch, lambda r: self.done.__setitem__(r.id, r), monotonic() + within_s, priority)
        self.sent.append(request)
        self.lane.submit(request)
        return request

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)

    async def all(self) -> None:
        await self.until(lambda: all(request.over for request in self.sent))

    def answer(self, name: str) -> list[float]:
        return list(self.done[name].result()["y"].ravel().tolist())


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_all_that_arrives_in_one_turn_shares_one_call_on_the_loop() -> None:
    async def story() -> None:
        model = Doubler()
        asker = Asker(lane(model))
        for number in range(50):
            asker.ask(str(number), number, -number)
        await asker.all()
        assert model.calls == [100]
        assert model.threads == {threading.get_ident()}
        for number in range(50):
            assert asker.answer(str(number)) == [2 * number, -2 * number]
        stats = asker.lane.stats
        assert (stats.success, stats.rows, stats.executions, stats.pending) == (50, 100, 1, 0)

    run(story())


def test_a_slow_model_runs_on_its_thread_and_what_comes_meanwhile_is_the_next_batch() -> None:
    async def story() -> None:
        gate = threading.Event()
        model = Doubler(gate)
        asker = Asker(lane(model, SLOW))
        asker.ask("first", 1)
        await asker.until(lambda: model.calls == [1])
        for number in range(5):
            asker.ask(str(number), number)
        await asyncio.sleep(0.02)
        assert model.calls == [1]
        gate.set()
        await asker.all()
        assert model.calls == [1, 5]
        assert threading.get_ident() not in model.threads
        assert [asker.answer(str(number)) for number in range(5)] == [[2.0 * number] for number in range(5)]

    run(story())


def test_empty_batches_are_answered() -> None:
    async def story() -> None:
        asker = Asker(lane(Doubler()))
        asker.ask("none")
        asker.ask("one", 3)
        await asker.all()
        assert asker.answer("none") == []
        assert asker.answer("one") == [6]

    run(story())


class Failing(Doubler):
    def predict(self, batch: Batch) -> Batch:
        raise RuntimeError("secret path /srv/model")


class Short(Doubler):
    def predict(self, batch: Batch) -> Batch:
        return Batch({"y": batch["x"][:-1]})


class Nameless(Doubler):
    def predict(self, batch: Batch) -> Batch:
        return Batch({"z": batch["x"]})


@pytest.mark.parametrize(
    ("model", "said"), [(Failing, "RuntimeError"), (Short, "expected 1 rows"), (Nameless, "'y': expected FP32")]
)
@pytest.mark.parametrize("curve", [QUICK, SLOW])
def test_a_failing_or_miscounting_model_fails_its_batch_and_never_shifts_answers(
    model: type[Doubler], said: str, curve: Curve
) -> None:
    async def story() -> None:
        asker = Asker(lane(model(), curve))
        asker.ask("a", 1)
        asker.ask("b", 2)
        await asker.all()
        for name in "ab":
            error = asker.done[name].error
            assert isinstance(error, ModelFailed)
            assert said in error.message
            assert "secret" not in error.message
        assert asker.lane.stats.failure == {"model_failed": 2}

    run(story())


class Picky(Doubler):
    """Fails on any batch with a negative number in it."""

    def predict(self, batch: Batch) -> Batch:
        if (batch["x"] < 0).any():
            self.calls.append(-batch.rows)
            raise ValueError("negative")
        return super().predict(batch)


@pytest.mark.parametrize("curve", [QUICK, SLOW])
def test_nobody_fails_for_what_another_one_sent(curve: Curve) -> None:
    async def story() -> None:
        model = Picky()
        asker = Asker(lane(model, curve))
        for number in (1, 2, -3, 4):
            asker.ask(str(number), number)
        await asker.all()
        assert [asker.answer(name) for name in ("1", "2", "4")] == [[2], [4], [8]]
        assert isinstance(asker.done["-3"].error, ModelFailed)
        assert sorted(model.calls) == [-4, -1, 1, 1, 1]
        asker.ask("5", 5)
        asker.ask("6", 6)
        await asker.all()
        assert model.calls[-1] == 2

    run(story())


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    async def story() -> None:
        gate = threading.Event()
        asker = Asker(lane(Doubler(gate), SLOW, max_queue=3))
        asker.ask("running", 0)
        await asker.until(lambda: asker.lane.busy_s() > 0)
        for number in range(5):
            asker.ask(str(number), number)
        assert sorted(asker.done) == ["3", "4"]
        error = asker.done["4"].error
        assert isinstance(error, Overloaded)
        assert error.retry_after_s > 0
        gate.set()
        await asker.all()
        assert asker.answer("2") == [4]

    run(story())


def test_who_cannot_be_answered_in_time_is_refused_at_once() -> None:
    async def story() -> None:
        gate = threading.Event()
        asker = Asker(lane(Doubler(gate), ((1, 1.0),)))
        asker.ask("running", 0)
        await asker.until(lambda: asker.lane.busy_s() > 0)
        asker.ask("hopeless", 1, within_s=0.5)
        assert isinstance(asker.done["hopeless"].error, Overloaded)
        asker.ask("patient", 2, within_s=30)
        gate.set()
        await asker.all()
        assert asker.answer("patient") == [4]

    run(story())


def test_deadlines_hold_while_a_call_runs_and_late_answers_are_dropped() -> None:
    async def story() -> None:
        gate = threading.Event()
        model = Doubler(gate)
        asker = Asker(lane(model, ((1, 0.002), (128, 0.002))))
        asker.ask("running", 1, within_s=0.1)
        await asker.until(lambda: model.calls == [1])
        asker.ask("waiting", 2, within_s=0.1)
        asker.ask("patient", 3, within_s=30)
        await asker.until(lambda: {"running", "waiting"} <= asker.done.keys())
        assert isinstance(asker.done["running"].error, DeadlineExceeded)
        assert isinstance(asker.done["waiting"].error, DeadlineExceeded)
        gate.set()
        await asker.all()
        assert asker.answer("patient") == [6]
        assert isinstance(asker.done["running"].error, DeadlineExceeded)
        assert model.calls == [1, 1]

    run(story())


def test_an_expired_request_is_never_computed() -> None:
    async def story() -> None:
        model = Doubler()
        asker = Asker(lane(model))
        asker.ask("late", 1, within_s=-1)
        asker.ask("good", 2)
        await asker.all()
        assert model.calls == [1]
        assert isinstance(asker.done["late"].error, DeadlineExceeded)

    run(story())


def test_a_cancelled_request_is_never_computed() -> None:
    async def story() -> None:
        model = Doubler()
        asker = Asker(lane(model))
        asker.ask("gone", 1, 2, 3).cancel()
        asker.ask("good", 2)
        await asker.all()
        assert model.calls == [1]
        assert "gone" not in asker.done
        assert asker.lane.stats.cancelled == 1

    run(story())


def test_draining_answers_all_that_was_let_in_and_no_more() -> None:
    async def story() -> None:
        gate = threading.Event()
        model = Doubler(gate)
        asker = Asker(lane(model, SLOW))
        asker.ask("a", 1)
        await asker.until(lambda: model.calls == [1])
        asker.ask("b", 2)
        draining = asyncio.ensure_future(asker.lane.drain())
        await asyncio.sleep(0)
        asker.ask("late", 3)
        assert isinstance(asker.done["late"].error, NotReady)
        gate.set()
        await draining
        assert asker.answer("b") == [4]
        asker.lane.close()
        await asker.until(lambda: model.closed == 1)

    run(story())


def test_many_callers_on_a_slow_model_each_get_their_own_answer() -> None:
    class Sleepy(Doubler):
        def predict(self, batch: Batch) -> Batch:
            sleep(0.001)
            return super().predict(batch)

    async def story() -> None:
        model = Sleepy()
        asker = Asker(lane(model, ((1, 0.001), (16, 0.001)), max_queue=10_000))

        async def caller(who: int) -> None:
            for number in range(20):
                asker.ask(f"{who}-{number}", who * 1000 + number)
                await asyncio.sleep(0.0005 * (who % 3))

        await asyncio.gather(*(caller(who) for who in range(20)))
        await asker.all()
        for who in range(20):
            for number in range(20):
                assert asker.answer(f"{who}-{number}") == [2 * (who * 1000 + number)]
        assert sum(model.calls) == 400
        assert len(model.calls) < 400

    run(story())
