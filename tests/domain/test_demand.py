from __future__ import annotations

import math

import msgspec
import pytest

from servable.domain.demand import Invariant, Monotone, NotWorse, Threshold, parse
from servable.errors import UsageError


@pytest.mark.parametrize(
    ("text", "demand"),
    [
        ("accuracy>=0.93", Threshold("", "accuracy", ">=", 0.93)),
        (" auc >= .9 by region, 'a, b' ", Threshold("", "auc", ">=", 0.9, by=("region", "a, b"))),
        ("recall(malignant)>0.95 surely", Threshold("", "recall", ">", 0.95, "malignant", surely=True)),
        ("r2>=-1e-2", Threshold("", "r2", ">=", -0.01)),
        ("p99_ms<=5", Threshold("", "p99_ms", "<=", 5.0)),
        ("f1 not worse", NotWorse("", "f1")),
        ("f1 not worse within 0.01 by worst area", NotWorse("", "f1", margin=0.01, by=("worst area",))),
        ("invariant to worst area", Invariant("", "worst area")),
        ("invariant to gender within 0.02 for 99%", Invariant("", "gender", 0.02, 0.99)),
        ("rises with 'within'", Monotone("", "within", rises=True)),
        ("probability(no) falls with debt for 95%", Monotone("", "debt", rises=False, of="no", share=0.95)),
    ],
)
def test_the_grammar(text, demand):
    assert parse(text) == msgspec.structs.replace(demand, text=text.strip())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("acuracy>=0.9", "did you mean 'accuracy'"),
        ("quality>=0.9", "there are accuracy"),
        ("p99_ms<=5 by region", "has no classes and no slices"),
        ("p99_ms not worse", "held against a number"),
        ("rises with age for 0%", "between 0 and 100 %"),
        ("accuracy", "expected something like 'accuracy>=0.93'"),
        ("", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(text, told):
    with pytest.raises(UsageError, match=told):
        parse(text)


@pytest.mark.parametrize(
    ("comparison", "value", "holds"),
    [
        (">=", 0.9, True), (">", 0.9, False), ("<=", 0.9, True), ("<", 0.9, False), ("==", 0.9, True),
        (">=", math.nan, False), ("<", math.nan, False),
    ],
)  # fmt: skip
def test_nan_meets_no_demand(comparison, value, holds):
    assert Threshold("", "accuracy", comparison, 0.9).holds(value) is holds
