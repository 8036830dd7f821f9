"""Off-policy estimates: unbiased where the truth is known, intervals that keep their word, what each is good for."""

from __future__ import annotations

import numpy as np
import pytest

from servable.statistics.offpolicy import doubly_robust, ips, snips, support, weights

RUNS = 1000
ROWS = 400
CHANCES = np.array([[0.1, 0.5, 0.3], [0.8, 0.2, 0.4]])
"""Of a reward of 1, by context and action."""
LOGGED = np.array([[0.6, 0.2, 0.2], [0.2, 0.5, 0.3]])
OTHER = np.array([[0.1, 0.8, 0.1], [0.7, 0.1, 0.2]])
TRUTH = float((OTHER * CHANCES).sum(axis=1).mean())


def logs(seed: int = 11):
    """Of each run the weights, the rewards, and what a model says that errs by a tenth: of what was done, and of what
    the other way would do.
    """
    random = np.random.default_rng(seed)
    expected = CHANCES + 0.1
    for _ in range(RUNS):
        context = random.integers(0, 2, ROWS)
        action = (random.random((ROWS, 1)) > LOGGED[context].cumsum(axis=1)).sum(axis=1)
        reward = (random.random(ROWS) < CHANCES[context, action]).astype(float)
        weight = weights(OTHER[context, action], LOGGED[context, action])
        yield weight, reward, expected[context, action], (OTHER * expected).sum(axis=1)[context]


ESTIMATES = {
    "ips": lambda weight, reward, *_: ips(weight, reward),
    "snips": lambda weight, reward, *_: snips(weight, reward),
    "doubly robust": doubly_robust,
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_the_truth_is_met_and_held_by_the_intervals(name: str) -> None:
    found = [ESTIMATES[name](*log) for log in logs()]
    error = np.std([one.estimate for one in found]) / np.sqrt(RUNS)
    assert abs(np.mean([one.estimate for one in found]) - TRUTH) < 4 * error
    assert 0.93 <= np.mean([one.low <= TRUTH <= one.high for one in found]) <= 0.97


def test_normalising_and_a_model_make_it_narrower_and_a_naive_mean_is_wrong() -> None:
    spread = {name: np.std([make(*log).estimate for log in logs()]) for name, make in ESTIMATES.items()}
    assert spread["doubly robust"] < spread["ips"]
    assert spread["snips"] < spread["ips"]
    assert abs(np.mean([reward.mean() for _, reward, _, _ in logs()]) - TRUTH) > 0.1


def test_a_model_that_is_right_needs_no_right_propensities() -> None:
    random = np.random.default_rng(3)
    values = []
    for _ in range(200):
        context = random.integers(0, 2, ROWS)
        action = (random.random((ROWS, 1)) > LOGGED[context].cumsum(axis=1)).sum(axis=1)
        reward = (random.random(ROWS) < CHANCES[context, action]).astype(float)
        wrong = OTHER[context, action] / 0.9
        told = doubly_robust(wrong, reward, CHANCES[context, action], (OTHER * CHANCES).sum(axis=1)[context])
        values.append(told.estimate)
    assert abs(np.mean(values) - TRUTH) < 4 * np.std(values) / np.sqrt(200)


def test_rewards_may_be_shifted_without_harm_to_the_normalised_one() -> None:
    weight, reward, _, _ = next(logs())
    assert snips(weight, reward + 100).estimate == pytest.approx(snips(weight, reward).estimate + 100)
    assert ips(weight, reward + 100).estimate != pytest.approx(ips(weight, reward).estimate + 100, abs=1)


def test_what_cannot_be_told_is_not_told() -> None:
    nothing = np.zeros(5)
    assert np.isnan(snips(nothing, nothing).estimate)
    assert np.isnan(ips(nothing[:1], nothing[:1]).estimate)
    assert support(nothing) == 0.0
    for wrong in (0.0, 1.5, np.nan):
        with pytest.raises(ValueError, match="above 0"):
            weights(np.ones(1), np.array([wrong]))
