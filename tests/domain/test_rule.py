"""Rules as rows of a manifest: what they may say, and how they are written down."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from servable.bundles import manifest
from servable.domain.bundle import Manifest
from servable.domain.field import Field
from servable.domain.rule import Fired, Rule, ranges
from servable.domain.signature import Signature
from servable.errors import BundleError

PLAIN = Manifest(
    "m", "onnx", "m.onnx", "onnx_onnxv1", Signature((Field("age", "FP32"),), (Field("price", "FP32"),)), ()
)  # fmt: skip

KINDS = [
    ({"column": "age", "low": 18, "high": 99.5, "action": "refuse", "reason": "adults"}, "bounds"),
    ({"column": "age", "low": 0, "action": "clip", "to": 1.0}, "bounds"),
    ({"column": "region", "allowed": ["north", "south"], "action": "clip", "to": "north"}, "categories"),
    ({"column": "age", "present": True, "action": "clip", "to": 40.0}, "missing"),
    ({"when": "age < 18", "action": "answer", "answer": {"price": 0.0}}, "expression"),
    ({"distance": "isolation", "columns": ["age"], "within": 0.999, "severity": "error"}, "distance"),
    ({"interval": "price", "widest": 10.0, "action": "fallback", "fallback": "simple@champion"}, "interval"),
]


@pytest.mark.parametrize(("said", "kind"), KINDS)
def test_a_rule_of_each_kind_comes_back_from_a_manifest(said: dict[str, Any], kind: str) -> None:
    head = manifest.dumps(PLAIN).decode()
    rows = "\n".join(f"{key} = {_toml(value)}" for key, value in said.items())
    stated = manifest.loads(f'{head}\n[[rules]]\nname = "r"\n{rows}\n'.encode())
    (rule,) = stated.rules
    assert rule.judges == kind
    assert manifest.loads(manifest.dumps(stated)) == stated


WRONG = [
    ({}, "got nothing"),
    ({"name": "a b", "when": "x"}, "a rule's name is 'a b'"),
    ({"low": 1}, "expected 'column' beside bounds"),
    ({"column": "x", "when": "x > 1"}, "expected no 'column'"),
    ({"column": "x", "low": 1, "allowed": ("a",)}, "several (bounds, categories)"),
    ({"column": "x", "low": 2, "high": 1}, "contradictory bounds: low 2 is above high 1"),
    ({"column": "x", "low": float("nan")}, "got nan"),
    ({"when": "x > 1", "action": "answer"}, "expected 'answer' to hold a value for each output"),
    ({"when": "x > 1", "answer": {"y": 1}}, "expected 'answer'"),
    ({"when": "x > 1", "action": "fallback"}, "expected 'fallback' to name a model"),
    ({"when": "x > 1", "action": "fallback", "fallback": "a:b:c"}, "does not name a model"),
    ({"when": "x > 1", "action": "clip"}, "no value to put in place"),
    ({"column": "x", "allowed": ("a",), "action": "clip"}, "expected 'to'"),
    ({"column": "x", "low": 1, "to": 1}, "expected 'to' only where the action is"),
    ({"distance": "isolation", "within": 1.5}, "expected 'within' between 0 and 1"),
    ({"when": "x > 1", "columns": ("x",)}, "they belong to a distance"),
    ({"when": "x > 1", "widest": 1.0}, "only beside 'interval'"),
]


@pytest.mark.parametrize(("said", "told"), WRONG)
def test_a_rule_that_cannot_be_says_why(said: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Rule(**{"name": "r", **said})


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('acton = "flag"', "unknown key 'rules[0].acton': did you mean 'action'?"),
        ('action = "clop"', "key 'rules[0].action': expected one of refuse, clip, flag, answer, fallback, got 'clop'"),
        ("low = 3\nhigh = 1", "rule 'r': contradictory bounds"),
    ],
)
def test_a_manifest_edited_by_hand_is_told_where_its_rule_is_wrong(row: str, told: str) -> None:
    text = f'{manifest.dumps(PLAIN).decode()}\n[[rules]]\nname = "r"\ncolumn = "age"\n{row}\n'
    with pytest.raises(BundleError) as error:
        manifest.loads(text.encode())
    assert told in error.value.message


def test_rows_are_told_short() -> None:
    assert ranges([]) == ""
    assert ranges(np.array([5])) == "5"
    assert ranges([0, 1, 2, 4, 6, 7]) == "0-2,4,6-7"
    handed = Fired(Rule("far", when="x > 1", action="fallback", fallback="simple"), np.array([1, 2]), "simple:3")
    assert str(handed) == "fallback to simple:3 rows 1-2"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    return repr(value)
