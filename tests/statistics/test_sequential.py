"""Always-valid tests: the numbers that theory and simulation give, at every look and not just at the last."""

from statistics import NormalDist

import numpy as np
import pytest

from servable.statistics.sequential import (
    ENOUGH,
    mixture_evidence,
    mixture_sequence,
    paired_evidence,
    proportion_evidence,
    proportion_sequence,
)

USERS, EVERY, TAU = 20_000, 100, 0.02
"""Of each arm; one look for so many more of each; the size of difference looked for."""


def arms(runs: int, first: float, second: float, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Successes of two arms at each look of each run."""
    chance = np.random.default_rng(seed)
    a, b = (chance.binomial(EVERY, share, (runs, USERS // EVERY)).cumsum(1) for share in (first, second))
    return a, b


def evidence(first: float, second: float, runs: int) -> np.ndarray:
    a, b = arms(runs, first, second)
    trials = [EVERY * (look + 1) for look in range(USERS // EVERY)]
    return np.array([
        [proportion_evidence(x, n, y, n, TAU)[0] for x, y, n in zip(*pair, trials, strict=True)]
        for pair in zip(a.tolist(), b.tolist(), strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize(("share", "naive_rate", "own_rate"), [(0.1, 0.419, 0.029), (0.5, 0.442, 0.017)])
def test_false_alarms_of_two_hundred_looks(share, naive_rate, own_rate):
    """What peeking costs the ordinary test, and does not cost this one."""
    runs = 1000
    a, b = arms(runs, share, share)
    n = EVERY * np.arange(1, USERS // EVERY + 1)
    pooled = (a + b) / (2 * n)
    z = (a - b) / n / np.sqrt(np.maximum(2 * pooled * (1 - pooled) / n, 1e-12))
    naive = (np.abs(z) > NormalDist().inv_cdf(0.975)).any(1).mean()
    own = (evidence(share, share, runs) > ENOUGH).any(1).mean()
    assert naive == pytest.approx(naive_rate, abs=0.05)
    assert own == pytest.approx(own_rate, abs=0.015)
    assert own <= 0.05


@pytest.mark.parametrize(
    ("first", "second", "power", "stop"),
    [(0.12, 0.10, 1.00, 3800), (0.11, 0.10, 0.67, 10_000), (0.06, 0.05, 0.92, 7600), (0.78, 0.80, 0.98, 6500)],
)
def test_power_and_how_soon_it_stops(first, second, power, stop):
    found = evidence(first, second, 300) > ENOUGH
    stops = EVERY * (1 + found.argmax(1)[found.any(1)])
    assert found.any(1).mean() == pytest.approx(power, abs=0.06)
    assert np.median(stops) == pytest.approx(stop, rel=0.12)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(10, 100, 0.0288, 0.2283), (100, 1000, 0.0688, 0.1384), (1000, 10_000, 0.0885, 0.1123)],
)
def test_the_sequence_of_a_proportion(successes, trials, low, high):
    found = proportion_sequence(successes, trials)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 50), (50, 50), (1, 10**7), (0, 0)])
def test_the_sequence_at_its_ends(successes, trials):
    found = proportion_sequence(successes, trials)
    assert trials == 0 or 0 <= found.low <= successes / trials <= found.high <= 1


def test_the_sequence_of_a_proportion_holds_at_all_looks_at_once():
    chance = np.random.default_rng(3)
    looks = np.unique(np.geomspace(5, 5000, 40).astype(int))
    successes = (chance.random((400, 5000)) < 0.2).cumsum(1)[:, looks - 1]
    bounds = {}
    missed = 0
    for run in successes.tolist():
        pairs = list(zip(run, looks.tolist(), strict=True))
        for pair in pairs:
            if pair not in bounds:
                bounds[pair] = proportion_sequence(*pair)
        missed += any(not bounds[pair].low <= 0.2 <= bounds[pair].high for pair in pairs)
    assert missed / len(successes) <= 0.05


def test_the_interval_excludes_zero_exactly_when_the_evidence_is_enough():
    for difference in np.linspace(0, 0.04, 81):
        interval = mixture_sequence(difference, 4e-5, TAU)
        assert (interval.low > 0) == (mixture_evidence(difference, 4e-5, TAU) > ENOUGH)


def test_nothing_known_is_no_evidence():
    assert mixture_evidence(0.1, 0.0, TAU) == 1.0
    assert proportion_evidence(0, 0, 5, 10, TAU)[0] == 1.0
    assert proportion_evidence(0, 1000, 0, 1000, TAU)[0] == 1.0


def test_pairs_that_are_even_are_no_evidence_however_often_one_looks():
    chance = np.random.default_rng(5)
    heads = (chance.random((1000, 200)) < 0.5).cumsum(1)
    table = {(n, h): paired_evidence(h, n - h) > ENOUGH for n in range(1, 201) for h in range(n + 1)}
    alarms = [any(table[n, h] for n, h in enumerate(run, 1)) for run in heads.tolist()]
    assert np.mean(alarms) <= 0.05
