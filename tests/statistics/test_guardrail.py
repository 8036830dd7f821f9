"""The guardrail: what it catches and how soon, and that it hardly ever rings for nothing, however often one looks."""

import numpy as np
import pytest

from servable.statistics.guardrail import Guardrail, Seen
from servable.statistics.sequential import ENOUGH

REQUESTS, SHARE = 1000, 0.05
"""At each look, and how many of them go to the canary."""


def looks_until(guard: Guardrail, canary: float, live: float, looks: int, chance: np.random.Generator) -> int:
    """The look at which it is sure; 0 if it never is."""
    groups = chance.binomial(REQUESTS, SHARE, looks)
    bad = chance.binomial(groups, canary).tolist()
    usual = chance.binomial(REQUESTS - groups, live).tolist()
    for look, (trials, own, other) in enumerate(zip(groups.tolist(), bad, usual, strict=True), 1):
        guard = guard.look(Seen(own, trials), Seen(other, REQUESTS - trials))
        if guard.evidence >= ENOUGH:
            return look
    return 0


@pytest.mark.parametrize(("share", "margin"), [(0.01, 0.0), (0.2, 0.0), (0.0, 0.0), (0.01, 0.01)])
def test_false_alarms_of_equals(share, margin):
    chance = np.random.default_rng(1)
    runs = 1000 if margin == 0.0 and share == 0.01 else 150
    alarms = [looks_until(Guardrail(margin), share, share, 16, chance) > 0 for _ in range(runs)]
    assert np.mean(alarms) <= 0.05


@pytest.mark.parametrize("worse", [True, False])
def test_on_the_margin_it_says_neither(worse):
    chance = np.random.default_rng(2)
    alarms = [looks_until(Guardrail(0.02, worse), 0.04, 0.02, 40, chance) > 0 for _ in range(150)]
    assert np.mean(alarms) <= 0.05


@pytest.mark.parametrize(("canary", "within"), [(1.0, 2), (0.2, 3), (0.05, 12)])
def test_what_is_worse_is_found_soon(canary, within):
    chance = np.random.default_rng(3)
    found = [looks_until(Guardrail(0.01), canary, 0.001, 60, chance) for _ in range(20)]
    assert 0 < max(found) <= 4 * within
    assert np.median(found) <= within


def test_what_is_no_worse_is_proven_so():
    chance = np.random.default_rng(4)
    found = [looks_until(Guardrail(0.01, worse=False), 0.001, 0.001, 40, chance) for _ in range(20)]
    assert 0 < min(found) <= max(found) <= 40


def test_it_does_not_bet_before_it_knows_what_is_usual():
    guard = Guardrail(0.0).look(Seen(5, 5), Seen(0, 5))
    assert guard.evidence == 1.0
    assert guard.group == Seen(5, 5)


@pytest.mark.parametrize("seen", [(Seen(0, 0), Seen(3, 50)), (Seen(3, 50), Seen(0, 0)), (Seen(), Seen())])
def test_looks_with_one_side_only(seen):
    guard = Guardrail(0.0).look(Seen(1, 10), Seen(10, 100)).look(*seen)
    assert np.isfinite(guard.evidence)


def test_no_single_look_wins_on_average_on_either_side_of_the_margin():
    """The property itself, exactly: the mean over all outcomes of a look is at most 1."""
    from math import comb

    start = Guardrail(0.05).look(Seen(2, 40), Seen(9, 120))
    for other in (0.02, 0.08, 0.3):
        for excess in (0.05, 0.02, -0.01):
            share = other + excess
            mean = sum(
                comb(3, a) * share**a * (1 - share) ** (3 - a) * comb(5, b) * other**b * (1 - other) ** (5 - b)
                * start.look(Seen(a, 3), Seen(b, 5)).evidence
                for a in range(4) for b in range(6)
            )  # fmt: skip
            assert mean <= 1 + 1e-9
