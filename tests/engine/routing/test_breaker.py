"""The breaker under a clock of the test's: when it opens, whom it lets try, and when it closes."""

from __future__ import annotations

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.engine.request import Request
from servable.engine.routing.breaker import Breaker
from servable.engine.routing.policy import Tolerance
from servable.engine.stats import Stats
from servable.errors import CircuitOpen, DeadlineExceeded, InvalidInput, ModelFailed, NotReady, ServableError


class Version:
    """A version that fails while `error` is set. `submit` is where callers go; its breaker may stand there."""

    def __init__(self) -> None:
        self.now = 100.0
        self.error: ServableError | None = None
        self.held: list[Request] = []
        self.hold = False
        self.stats = Stats()
        self.submit = self.answer
        self.breaker = Breaker("m:1", self.answer, self.stats, self.enter_by, Tolerance(), lambda: self.now)

    def enter_by(self, submit) -> None:
        self.submit = submit

    def answer(self, request: Request) -> None:
        if self.hold:
            self.held.append(request)
        elif self.error is not None:
            self.stats.failed(self.error.code)
            request.finish(None, self.error)
        else:
            self.stats.success += 1
            request.finish(request.batch)

    def ask(self, times: int = 1) -> list[str]:
        """How each ended: `ok`, a code, or `` if it has not."""
        outcomes = []
        for _ in range(times):
            request = Request("q", Batch({"x": np.zeros(1)}), lambda _: None)
            self.submit(request)
            outcomes.append(request.error.code if request.error else "ok" if request.over else "")
        return outcomes


@pytest.fixture
def version() -> Version:
    return Version()


def opened(version: Version) -> Version:
    version.error = ModelFailed("no")
    assert version.ask(20) == ["model_failed"] * 20
    assert version.breaker.open
    return version


def test_while_all_is_well_it_is_not_on_the_way(version):
    assert version.submit == version.answer
    version.ask(100)
    version.error = ModelFailed("no")
    version.ask(19)
    assert version.submit == version.answer


def test_it_opens_and_callers_hear_at_once_when_to_come_back(version):
    opened(version)
    request = Request("q", Batch({"x": np.zeros(1)}), lambda _: None)
    version.submit(request)
    assert isinstance(request.error, CircuitOpen)
    assert request.error.retry_after_s == 1.0
    assert version.stats.failure == {"model_failed": 20, "circuit_open": 1}
    assert version.stats.circuit_opened == 1


def test_probes_close_it_one_at_a_time(version):
    opened(version)
    version.error = None
    assert version.ask(5) == ["circuit_open"] * 5
    version.now += 1.0
    version.hold = True
    assert version.ask(3) == ["", "circuit_open", "circuit_open"]
    version.hold = False
    version.answer(version.held.pop())
    assert version.breaker.open
    assert version.ask(2) == ["ok", "ok"]
    assert not version.breaker.open
    assert version.submit == version.answer


def test_a_probe_that_fails_doubles_the_pause(version):
    opened(version)
    for pause in (1.0, 2.0, 4.0):
        version.now += pause - 0.01
        assert version.ask() == ["circuit_open"]
        version.now += 0.01
        assert version.ask(2) == ["model_failed", "circuit_open"]
    version.error = None
    version.now += 8.0
    assert version.ask(3) == ["ok"] * 3
    opened(version)
    version.now += 1.0
    version.error = None
    assert version.ask() == ["ok"]


def test_a_probe_whose_caller_leaves_makes_room_for_another(version):
    opened(version)
    version.error = None
    version.now += 1.0
    version.hold = True
    version.ask()
    version.held[0].cancel()
    version.hold = False
    assert version.ask() == ["ok"]


@pytest.mark.parametrize("error", [InvalidInput("no"), NotReady("no")])
def test_what_does_not_speak_against_the_model_does_not_count(version, error):
    version.error = error
    version.ask(100)
    assert not version.breaker.open


def test_short_deadlines_of_one_caller_do_not_open_it_for_others(version):
    version.error = DeadlineExceeded("late")
    version.ask(19)
    version.error = None
    version.ask()
    version.error = DeadlineExceeded("late")
    version.ask(100)
    assert not version.breaker.open
    version.now += 11.0
    version.ask(20)
    assert version.breaker.open


def test_failures_that_are_few_among_many_do_not_open_it(version):
    for _ in range(100):
        version.error = None
        version.ask(2)
        version.error = ModelFailed("no")
        version.ask(1)
    assert not version.breaker.open


def test_what_was_long_ago_is_forgotten(version):
    version.error = ModelFailed("no")
    version.ask(19)
    version.now += 11.0
    version.ask(19)
    assert not version.breaker.open
