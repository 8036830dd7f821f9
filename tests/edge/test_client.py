"""The client writes values as Python does: what messages on a device are made of, tried in Node."""

from __future__ import annotations

import json
import subprocess
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from servable.bundles.load import Predictor
from servable.domain.field import Field
from servable.domain.rule import ranges
from servable.edge.contract import _field, contract_of
from servable.edge.edition import edition_of
from servable.edge.obstacles import obstacles

CLIENT = files("servable.edge") / "client"
NUMBERS = [
    0.1, 1.0, -2.5, 12.0, 1e-5, 0.0001, 123456.5, 1234565.0, 1e16, 9999999999999998.0, 1.5e300, 5e-324,
    0.30000000000000004, 1e22, 100000.0, 999999.5, 3.14159265, -0.00001234, 65504.0, 1 / 3,
]  # fmt: skip
TEXTS = ["plain", "o'east", "both ' and \"", "a\\b\n\t\x07", "naïve 🙂", "\u200b\u2028", ""]
DATES = ["2026-01-31", "2026-02-29", "2024-02-29", "2026-13-01", "2026-01-31T12:30:05.25Z", "soon", "2026", "12:30"]
DATES += ["20260131", "1767225600", "202", "-0044", "12026-01"]


def asked(module: str, script: str, given: Any) -> Any:
    """What a script makes of `given`, with everything of a module in `m`."""
    code = f"import * as m from {json.dumps(str(CLIENT / module))};\nconst given = {json.dumps(given)};\n"
    code += f"console.log(JSON.stringify({script}));"
    done = subprocess.run(
        ["node", "--input-type=module"], input=code, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_numbers_are_written_as_in_python() -> None:
    found = asked("text.js", "given.map((x) => [m.general(x), m.shortest(x)])", NUMBERS)
    assert found == [[f"{x:g}", repr(x)] for x in NUMBERS]


def test_floats_of_32_bits_are_written_as_in_numpy() -> None:
    numbers = [x for x in NUMBERS if abs(x) < 1e38]
    field = _field(Field("x", "FP32"))
    script = "given[0].map((x) => m.shown(Math.fround(x), given[1]))"
    assert asked("contract.js", script, [numbers, field]) == [str(np.float32(x)) for x in numbers]


def test_halves_are_rounded_as_in_numpy() -> None:
    given = [0.1, 1 / 3, 65519.0, 6e-8, 2049.0, 2051.0, -0.2]
    found = asked("text.js", "given.map((x) => m.rounded(x, 'FP16'))", given)
    assert found == np.array(given, np.float16).astype(float).tolist()


def test_texts_and_values_are_quoted_as_in_python() -> None:
    assert asked("text.js", "given.map(m.quoted)", TEXTS) == [repr(text) for text in TEXTS]
    nested = [None, True, [1, 2.5, "x"], {"a": [], "b": {"c": "d"}}]
    assert asked("text.js", "m.quoted(given)", nested) == repr(nested)


@pytest.mark.parametrize("rows", [[], [3], [1, 2, 3, 9], [0, 2, 4, 5]])
def test_rows_are_written_short(rows: list[int]) -> None:
    assert asked("text.js", "m.ranges(given)", rows) == ranges(rows)


def test_dates_are_those_of_the_server() -> None:
    field = Field("when", "BYTES", content="date")
    expected = [not list(field.value_faults(np.array([text], object))) for text in DATES]
    assert asked("contract.js", "given.map(m.isDate)", DATES) == expected


def test_expressions_know_three_truths() -> None:
    unknown = {"does": "<", "to": [{"column": "x"}, {"value": 3}]}
    script = "given.map((tree) => m.evaluate(tree, () => NaN))"
    trees = [
        unknown,
        {"does": "not", "to": [unknown]},
        {"does": "or", "to": [unknown, {"value": True}]},
        {"does": "and", "to": [unknown, {"value": False}]},
        {"does": "is missing", "to": [{"column": "x"}]},
        {"does": "coalesce", "to": [{"column": "x"}, {"value": 7}]},
    ]
    assert asked("rules.js", script, trees) == [None, None, True, False, True, 7]


def test_the_contract_is_data_and_nothing_stands_in_the_way(predictor: Predictor) -> None:
    told = contract_of(edition_of(predictor.bundle, "3"))
    assert json.loads(json.dumps(told, allow_nan=False)) == json.loads(json.dumps(told))
    assert told["file"]["bytes"] == predictor.bundle.model_path.stat().st_size
    assert [rule["judges"] for rule in told["rules"]] == [rule.judges for rule in predictor.bundle.manifest.rules]
    assert obstacles(predictor.bundle) == []
