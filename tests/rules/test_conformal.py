"""Prediction intervals and sets hold the truth as often as they promise, for a model that errs as it likes."""

from __future__ import annotations

import numpy as np
import pytest

from servable.rules.conformal import fit_interval, fit_set, intervals, quantile, sets


def _world(random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Answers, and outcomes around them whose spread grows with the answer; the model is also too low by half."""
    answers = random.uniform(0, 10, rows)
    return answers, answers + 0.5 + random.normal(size=rows) * (0.1 + answers / 5)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_intervals_cover_what_they_promise_on_average_over_calibrations(coverage: float) -> None:
    random = np.random.default_rng(3)
    covered = []
    for _ in range(100):
        fitted = fit_interval(*_world(random, 500))
        answers, outcomes = _world(random, 500)
        low, high = intervals(fitted, answers, coverage).T
        covered.append(np.mean((low <= outcomes) & (outcomes <= high)))
    assert coverage - 0.005 < np.mean(covered) < coverage + 0.03


def test_intervals_are_wide_where_the_model_errs_much() -> None:
    fitted = fit_interval(*_world(np.random.default_rng(0), 5000))
    low, high = intervals(fitted, np.array([0.5, 5.0, 9.5]), 0.9).T
    widths = high - low
    assert widths[0] < widths[1] < widths[2]
    assert len(fitted.scores) == 10


def test_each_bin_keeps_the_promise() -> None:
    random = np.random.default_rng(5)
    hits = np.zeros((50, 2))
    for turn in range(50):
        fitted = fit_interval(*_world(random, 1000))
        answers, outcomes = _world(random, 2000)
        low, high = intervals(fitted, answers, 0.9).T
        inside = (low <= outcomes) & (outcomes <= high)
        hits[turn] = inside[answers < 1].mean(), inside[answers > 9].mean()
    assert (hits.mean(axis=0) > 0.89).all()


def test_sets_hold_the_true_class_as_often_as_they_promise() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(40_000, 4)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = (random.random(40_000)[:, None] > probabilities.cumsum(axis=1)).sum(axis=1)
    fitted = fit_set(probabilities[:2000], classes[:2000])
    found = sets(fitted, probabilities[2000:], 0.9)
    hit = found[np.arange(38_000), classes[2000:]].mean()
    assert hit == pytest.approx(0.9, abs=0.02)
    assert sets(fitted, np.array([[0.97, 0.01, 0.01, 0.01]]), 0.9).sum() == 1
    assert sets(fitted, np.array([[0.25, 0.25, 0.25, 0.25]]), 0.9).sum() == 4


def test_too_few_rows_are_told_with_how_many_it_takes() -> None:
    with pytest.raises(ValueError, match=r"'coverage' 0\.9 takes at least 9 calibration rows with similar answers"):
        quantile([1.0] * 8, 0.9)
    assert quantile([1.0] * 9, 0.9) == 1.0


def test_a_quantile_is_that_of_the_next_row() -> None:
    scores = np.arange(1.0, 100).tolist()
    assert (quantile(scores, 0.9), quantile(scores, 0.5), quantile(scores, 0.99)) == (90.0, 50.0, 99.0)
