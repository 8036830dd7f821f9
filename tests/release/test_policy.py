"""What a canary's trial leads to: rolled back where it harms, promoted where it is proven not to, and else neither."""

import msgspec
import numpy as np
import pytest

from servable.domain.joined import Joined, Tally
from servable.domain.terms import Terms
from servable.release.counts import Counts, counts_of
from servable.release.policy import Decision, decide
from servable.release.trial import Trial

SHARE, REQUESTS = 0.1, 1000
"""The canary's share; requests between two looks."""
TERMS = Terms(least_requests=500, least_s=60.0)
FAST, SLOW = 3, 9
"""Buckets of latencies."""


class Traffic:
    """A canary and a live version that fail and are slow with these probabilities, counted as doors would."""

    def __init__(
        self, seed: int, errors=(0.001, 0.001), slow=(0.01, 0.01), lost=0.0, good=None, known=(0.5, 0.5)
    ) -> None:
        """`good` are the shares of successes, of those requests of which an outcome is `known`."""
        self.chance = np.random.default_rng(seed)
        self.errors, self.slow, self.lost, self.good, self.known = errors, slow, lost, good, known
        self.canary = self.live = Counts()
        self.joined = Joined()

    def turn(self) -> None:
        drawn = int(self.chance.binomial(REQUESTS, SHARE))
        counts = [drawn - int(self.chance.binomial(drawn, self.lost)), REQUESTS - drawn]
        if self.good:
            pairs = zip(("2", "1"), counts, strict=True)
            tallies = {version: self._judged(version, number, place) for place, (version, number) in enumerate(pairs)}
            self.joined = Joined(0, 0, tallies)
        self.canary, self.live = (
            before.plus(self._counted(number, self.errors[place], self.slow[place], place))
            for place, (before, number) in enumerate(zip((self.canary, self.live), counts, strict=True))
        )

    def _counted(self, number: int, error: float, slow: float, place: int) -> Counts:
        failed = int(self.chance.binomial(number, error))
        late = int(self.chance.binomial(number - failed, slow))
        buckets = [0] * 15
        buckets[FAST], buckets[SLOW] = number - failed - late, late
        return Counts(number, failed, tuple(buckets), number)

    def _judged(self, version: str, number: int, place: int) -> Tally:
        judged = int(self.chance.binomial(number, self.known[place]))
        return self.joined.of(version).moved(
            Tally(), Tally(number, judged, float(self.chance.binomial(judged, self.good[place])))
        )


def outcome(traffic: Traffic, looks: int = 60, terms: Terms = TERMS) -> tuple[int, Decision]:
    """The look at which it was decided, and how."""
    if traffic.good:
        terms = msgspec.structs.replace(terms, success="correct")
    trial = Trial.begin("2", "1", 0.0, terms).look(traffic.canary, traffic.live)
    decision = decide(trial, terms, SHARE, 0.0)
    for look in range(1, looks + 1):
        traffic.turn()
        trial = trial.look(traffic.canary, traffic.live, traffic.joined)
        decision = decide(trial, terms, SHARE, 2.0 * look)
        if decision.action != "watch":
            return look, decision
    return 0, decision


@pytest.mark.parametrize("runs", [25, pytest.param(1000, marks=[pytest.mark.faults, pytest.mark.timeout(600)])])
@pytest.mark.parametrize("good", [None, (0.1, 0.1)], ids=["counts", "outcomes"])
def test_equals_are_hardly_ever_rolled_back(runs, good):
    terms = Terms(promote=False, least_s=1e9)
    alarms = sum(outcome(Traffic(seed, good=good), 40, terms)[1].action == "roll back" for seed in range(runs))
    assert alarms / runs <= 0.05


def test_an_equal_is_promoted_once_it_is_proven():
    decided = [outcome(Traffic(seed)) for seed in range(10)]
    assert {decision.action for _, decision in decided} == {"promote"}
    assert min(look for look, _ in decided) >= 30  # not before the time that it was given


@pytest.mark.parametrize(
    ("harm", "check", "within"),
    [
        ({"errors": (1.0, 0.001)}, "canary errors", 3),
        ({"errors": (0.05, 0.001)}, "canary errors", 10),
        ({"slow": (0.3, 0.01)}, "canary latency", 5),
        ({"slow": (0.08, 0.01)}, "canary latency", 20),
        ({"lost": 0.5}, "canary assignment", 5),
        ({"good": (0.5, 0.9)}, "canary successes", 5),
    ],
)
def test_harm_is_found_soon(harm, check, within):
    decided = [outcome(Traffic(seed, **harm)) for seed in range(5)]
    assert {decision.action for _, decision in decided} == {"roll back"}
    assert {decision.reason.partition(":")[0] for _, decision in decided} == {check}
    assert np.median([look for look, _ in decided]) <= within
    failed = [verdict for verdict in decided[0][1].verdicts if not verdict.passed]
    assert [verdict.check for verdict in failed] == [check]


def test_a_better_one_is_no_harm():
    look, decision = outcome(Traffic(1, errors=(0.0, 0.2), slow=(0.0, 0.01), good=(0.95, 0.8)))
    assert (look, decision.action) == (30, "promote")


@pytest.mark.parametrize(
    ("terms", "waits_for"),
    [
        (Terms(least_requests=10**9), "requests"),
        (Terms(least_s=1e9, least_requests=1), "of 1000000000 s"),
        (Terms(least_s=0, least_requests=1, error_margin=0.00001), "fail more often"),
        (Terms(least_s=0, least_requests=1, slow_margin=0.00001), "slow more often"),
    ],
)
def test_a_promotion_waits_for_all_terms(terms, waits_for):
    look, decision = outcome(Traffic(1), 20, terms)
    assert (look, decision.action) == (0, "watch")
    assert waits_for in decision.reason


def test_a_person_may_keep_the_last_word():
    assert outcome(Traffic(1), terms=Terms(promote=False, least_requests=1, least_s=0))[1].action == "ready"


def test_a_promotion_waits_until_it_succeeds_as_often():
    terms = Terms(least_requests=1, least_s=0, success_margin=0.001)
    assert "succeed less often" in outcome(Traffic(1, good=(0.9, 0.9)), 30, terms)[1].reason


def test_without_outcomes_that_are_waited_for_there_is_no_promotion():
    terms = Terms(least_requests=1, least_s=0, success="correct")
    look, decision = outcome(Traffic(1), 30, terms)
    assert (look, decision.action) == (0, "watch")
    assert "(0 and 0 outcomes)" in decision.reason


def test_outcomes_that_come_of_one_version_alone_decide_nothing():
    """A version whose answers decide of what an outcome is known: those that are known look worse than they are."""
    look, decision = outcome(Traffic(1, good=(0.5, 0.9), known=(0.1, 0.6)), 60)
    assert (look, decision.action) == (0, "watch")
    assert decision.reason == "outcomes are known of other shares of the requests than were given"
    (told,) = [verdict for verdict in decision.verdicts if verdict.check == "canary successes"]
    assert told.passed
    assert told.reason.endswith("nothing follows")
    assert told.numbers["coverage"] < 0.2
    assert told.numbers["live_coverage"] > 0.5


def test_counting_that_began_anew_goes_on():
    """A server that was restarted: its doors count from zero, and the trial keeps what it knew."""
    traffic = Traffic(1)
    trial = Trial.begin("2", "1", 0.0, TERMS).look(traffic.canary, traffic.live)
    for _ in range(3):
        traffic.turn()
        trial = trial.look(traffic.canary, traffic.live)
    known = trial.of_canary.requests
    traffic.canary = traffic.live = Counts()
    traffic.turn()
    trial = trial.look(traffic.canary, traffic.live)
    assert trial.of_canary.requests == known + traffic.canary.requests


def test_counts_are_read_from_the_reports_of_all_doors():
    stats = {"success": 7, "failure": {"model_failed": 2, "overloaded": 1}, "buckets": [5, 2]}
    model = {"name": "m", "version": "2", "stats": stats}
    door = {"models": [model], "routes": {"m": {"assigned": {"1": 90, "2": 10}}}}
    past = {"past": True, "models": [model]}
    assert counts_of([door, past], "m", "2") == Counts(20, 6, (10, 4), 10)
    assert counts_of([door], "m", "3") == Counts()
