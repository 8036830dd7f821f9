"""What is odd about an answer, as a table."""

from __future__ import annotations

import numpy as np
import pytest

from servable.bundles.answer import Answer
from servable.checks.probe.policy import WORST_FIRST, Scale, jumped, odd_rows, rank, saturated

CLASSES = ("no", "yes")


def classes(*scores: float) -> Answer:
    table = np.array([[1 - score, score] for score in scores])
    return Answer(CLASSES, table.argmax(axis=1), table, calibrated=True)


def numbers(*values: float) -> Answer:
    return Answer(numbers=np.array(values))


@pytest.mark.parametrize(
    ("before", "after", "odd"),
    [
        (classes(0.2, 0.9), classes(0.3, 0.8), {}),
        (classes(0.2, 0.9), classes(0.7, 0.8), {"flips": [True, False]}),
        (classes(0.2, 0.9), classes(np.nan, 0.8), {"is not finite": [True, False]}),
        (numbers(0, 10), numbers(1, 9), {}),
        (numbers(0, 10), numbers(6, 10), {"flips": [True, False]}),
        (numbers(0, 10), numbers(25, -15), {"runs away": [True, True], "flips": [True, True]}),
        (numbers(0, 10), numbers(np.inf, 10), {"is not finite": [True, False]}),
    ],
)
def test_rows_that_are_odd(before, after, odd):
    found = odd_rows(before, after, Scale.of(before))
    assert {what: rows.tolist() for what, rows in found.items() if rows.any()} == odd


@pytest.mark.parametrize(
    ("before", "after", "still"),
    [
        (np.linspace(0, 1, 20), np.full(20, 0.999), True),
        (np.linspace(0, 1, 20), np.linspace(0, 0.5, 20), False),
        (np.full(20, 0.5), np.full(20, 0.999), False),
        (np.linspace(0, 1, 4), np.full(4, 0.999), False),
    ],
)
def test_answers_that_stand_still(before, after, still):
    assert saturated(before, after) == still


def test_a_jump_is_by_a_fifth_of_a_probability_or_half_of_what_numbers_differ_by():
    assert jumped(classes(0.4, 0.4), classes(0.55, 0.65), Scale.of(classes(0, 1))).tolist() == [False, True]
    scale = Scale.of(numbers(0, 10))
    assert jumped(numbers(0, 0), numbers(2, 3), scale).tolist() == [False, True]


def test_the_worst_first():
    worst, next_, last = (rank(what, 0.5, 1.0) for what in (WORST_FIRST[0], WORST_FIRST[1], WORST_FIRST[-1]))
    assert worst < next_ < last
    assert rank("flips", 0.9, 1.0) < rank("flips", 0.5, 9.0) < rank("flips", 0.5, 1.0)
