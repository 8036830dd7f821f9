"""What passes the gate, as a table."""

from __future__ import annotations

import math

import pytest

from servable.checks.policy import Part, judge_not_worse, judge_threshold
from servable.domain.demand import parse
from servable.statistics.interval import UNKNOWN, Interval

SURE = Interval(0.95, 0.94, 0.96)
WIDE = Interval(0.95, 0.85, 0.99)
WEAK = Interval(0.80, 0.75, 0.85)


@pytest.mark.parametrize(
    ("text", "parts", "passed", "told"),
    [
        ("accuracy>=0.93", [Part("", 900, SURE)], True, "0.95 [0.94, 0.96] on 900 rows"),
        ("accuracy>=0.93", [Part("", 60, WIDE)], True, "0.95"),
        ("accuracy>=0.93 surely", [Part("", 60, WIDE)], False, "0.95"),
        ("log_loss<=0.96 surely", [Part("", 60, SURE)], True, "log_loss"),
        ("log_loss<=0.95 surely", [Part("", 60, SURE)], False, "log_loss"),
        ("accuracy>=0.93", [Part("", 900, SURE), Part("a = 1", 80, WEAK)], False, "where a = 1"),
        ("accuracy>=0.93", [Part("", 900, SURE), Part("a = 1", 49, WEAK)], True, "not judged: 1"),
        ("accuracy>=0.93", [Part("", 900, SURE), Part("a = 1", 80, SURE)], True, "it holds in the one slice"),
        ("accuracy>=0.93", [Part("", 10, WEAK)], False, "on 10 rows"),
        ("recall(x)>=0.5", [Part("", 900, UNKNOWN)], False, "recall of 'x' cannot be computed"),
        ("accuracy>=0.9", [Part("", 9, WEAK), *(Part(f"a = {at}", 80, WEAK) for at in range(3))], False, "3 more fail"),
    ],
)
def test_a_threshold(text, parts, passed, told):
    verdict = judge_threshold(parse(text), parts)
    assert verdict.passed is passed
    assert told in verdict.reason
    assert len(verdict.evidence["slices"]) == len(parts)


def gap(estimate, low, high, p_value=0.0, rows=500, name=""):
    return Part(name, rows, Interval(estimate, low, high), p_value)


@pytest.mark.parametrize(
    ("parts", "margin", "passed", "told"),
    [
        ([gap(0.01, -0.005, 0.02)], 0.01, True, "0.01 above old on the same 500 rows"),
        ([gap(0.01, -0.02, 0.04)], 0.01, False, "it may be worse by more than 0.01"),
        ([gap(-0.05, -0.06, -0.04)], 0.01, False, "worse by more than 0.01"),
        ([gap(0.0, 0.0, 0.0)], 0.0, True, "proven"),
        ([gap(-0.001, -0.002, 0.0)], 0.0, False, "may be worse"),
        ([gap(0.01, 0.0, 0.02), gap(0.0, -0.1, 0.1, 0.3, 500, "a = 1")], 0.01, False, "where a = 1"),
        ([gap(0.01, 0.0, 0.02), gap(0.0, -0.1, 0.1, 0.3, 20, "a = 1")], 0.01, True, "not judged: 1"),
        ([gap(0.01, 0.0, 0.02), gap(0.0, 0.0, 0.0, 1.0, 500, "a = 1")], 0.0, False, "may be worse"),
        ([gap(0.01, 0.005, 0.02), gap(0.0, 0.0, 0.0, 1.0, 500, "a = 1")], 0.0, True, "in the one slice"),
        ([gap(math.nan, math.nan, math.nan, math.nan)], 0.01, False, "cannot be computed"),
    ],
)
def test_not_worse_is_proven(parts, margin, passed, told):
    verdict = judge_not_worse("accuracy not worse", "accuracy", margin, "old", parts)
    assert verdict.passed is passed, verdict.reason
    assert told in verdict.reason


def test_p_values_of_slices_are_adjusted():
    """0.02 would do for one slice; it does not for the best of ten that are not proven."""
    slices = [gap(0.0, -0.1, 0.1, 0.02 if at == 0 else 0.5, 500, f"a = {at}") for at in range(10)]
    verdict = judge_not_worse("accuracy not worse", "accuracy", 0.01, "old", [gap(0.01, 0.0, 0.02), *slices])
    assert [part["passed"] for part in verdict.evidence["slices"]] == [True] + [False] * 10
    assert verdict.evidence["slices"][1]["p"] == pytest.approx(0.2)


def test_less_error_is_told_as_below():
    verdict = judge_not_worse("rmse not worse", "rmse", 0.5, "old", [gap(2.0, 1.0, 3.0)])
    assert "rmse is 2 below old" in verdict.reason
