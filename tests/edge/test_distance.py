"""Distances on a device are those of the server: values of every kind, by both measures, asked in Node."""

from __future__ import annotations

import json

import numpy as np
import pytest

from servable.edge.contract import _distance
from servable.rules.distance import Distance, fit_distance
from tests.edge.test_client import asked

FAR = [0.0, 1e30, -1e300, 1.5, None, 3.25]
TEXTS = ["a", "b", "never seen", None, "toString", "a"]
NOTES = ["short", None, "🙂" * 30, "", "x" * 400, "as the others are"]


@pytest.mark.parametrize("kind", ["mahalanobis", "isolation"])
def test_a_device_measures_what_the_server_does(kind: str) -> None:
    random, rows = np.random.default_rng(0), 300
    sample = {
        "number": np.where(np.arange(rows) % 9 == 0, np.nan, random.normal(3, 2, rows)),
        "again": random.normal(-1, 1e-3, rows),
        "kind": random.choice(np.array(["a", "b", "rare"], object), rows, p=[0.6, 0.38, 0.02]),
        "note": np.array(
            [f"a note of {'x' * int(size)} {row}" for row, size in enumerate(random.integers(1, 50, rows))], object
        ),
    }
    fitted = fit_distance(sample, kind)
    new = {
        "number": np.array([np.nan if value is None else value for value in FAR]),
        "again": np.array([-1.0, 0.0, 1e30, np.nan, -1.001, -0.999]),
        "kind": np.array(TEXTS, object),
        "note": np.array(NOTES, object),
    }
    measured = {name: np.concatenate([sample[name], values]) for name, values in new.items()}
    want = Distance(fitted).of(measured)
    table = {name: [None if v is None or v != v else v for v in values.tolist()] for name, values in measured.items()}  # noqa: PLR0124 - NaN
    numbers = ["number", "again"]
    value = "given[1][name][row] ?? (given[2].includes(name) ? NaN : null)"
    script = f"given[1].number.map((_, row) => m.distance(given[0], (name) => {value}))"
    got = asked("distance.js", script, [_distance(fitted), table, numbers])
    assert len(json.dumps(_distance(fitted))) < 1_500_000
    np.testing.assert_allclose(np.array(got, float), want, rtol=1e-12)
