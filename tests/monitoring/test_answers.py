"""What was answered, on its way to where it waits for its outcome: what it said, and how much of it is kept."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle, Manifest
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.engine.routing.answered import Answered
from servable.monitoring.answers import BURST, PER_S, Answers, rows_of
from servable.monitoring.kept import Kept

X = Field("x", "FP32")
SCORES = Field("p", "FP32", (-1, 3))
TWO = {"p": np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], np.float32)}


def answered(
    outputs: dict[str, Any], *fields: Field, labels: Any = None, id: str = "a", version: str = "2"
) -> Answered:
    manifest = Manifest("m", "fake", "m", "fake", Signature((X,), fields), (), labels=labels or {})
    serving: Any = SimpleNamespace(name="m", version=version, bundle=Bundle(Path("/none"), manifest, "0"))
    batch = Batch(outputs)
    request: Any = SimpleNamespace(id=id, rows=batch.rows, start=0, by=None, answer=batch)
    return Answered(serving, "", id, request)


@pytest.mark.parametrize(
    ("outputs", "fields", "labels", "said"),
    [
        (TWO, [SCORES], {}, ["2", "0"]),
        (TWO, [SCORES], {"p": ["cat", "dog", "owl"]}, ["owl", "cat"]),
        ({"label": np.array([3, 8])}, [Field("label", "INT64")], {}, ["3", "8"]),
        (
            {"label": np.array(["a", "b"], object), **TWO},
            [Field("label", "BYTES"), SCORES],
            {"p": ["a", "b", "c"]},
            "ab",
        ),
        ({"y": np.array([1.5, 2.0], np.float32)}, [Field("y", "FP32")], {}, [1.5, 2.0]),
        ({"v": np.zeros((2, 3, 4), np.float32)}, [Field("v", "FP32", (-1, 3, 4))], {}, [None, None]),
    ],
)
def test_what_was_said_to_each_row(outputs, fields, labels, said):
    rows = list(rows_of(answered(outputs, *fields, labels=labels)))
    assert [row.said for row in rows] == list(said)
    assert [(row.id, row.unit, row.version) for row in rows] == [("a/0", "a", "2"), ("a/1", "a", "2")]


class Store:
    def __init__(self) -> None:
        self.rows: list[tuple[str, Kept]] = []

    def keep(self, answers: list[tuple[str, Kept]]) -> None:
        self.rows += answers


def test_of_too_many_a_sample_is_kept_of_all_versions_alike():
    store: Any = Store()
    began = monotonic()
    answers = Answers(lambda: store)
    y = {"y": np.array([1.0], np.float32)}
    many = [answered(y, Field("y", "FP32"), id=str(n), version=str(1 + n % 2)) for n in range(BURST + 10_000)]
    answers.write(many)
    assert BURST - 1 <= len(store.rows) <= BURST
    ones = sum(kept.version == "1" for _, kept in store.rows)
    assert abs(ones / len(store.rows) - 0.5) < 0.02
    answers.write(many[:100])
    assert len(store.rows) <= BURST + 1 + PER_S * (monotonic() - began)
