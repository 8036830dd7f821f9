"""What a door tells of predictions: rows that wait, rows that told their own outcome, what was chosen for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.record import Records
from servable.domain.signature import Signature
from servable.online.event import array, batch_of
from servable.online.kept import SOURCE, lessons_of
from servable.online.learners.bandit import signature
from servable.online.messages import Asked, Examples

PLAIN = Signature((Field("x", "FP64"),), (Field("y", "FP64"),))


def records(inputs: dict[str, Any], outputs: dict[str, Any] | None, error: str = "") -> Records:
    """Two requests that shared a call: of one row, and of two."""
    answer = None if outputs is None else Batch(outputs)
    return Records("m", "1", 0.0, 0.0, ["one", "two"], [0, 1], [1, 2], [0.0, 0.0], Batch(inputs), answer, error)


def test_rows_wait_under_the_ids_of_their_requests() -> None:
    (lesson,) = lessons_of(records({"x": np.arange(3.0)}, {"y": np.zeros(3)}), PLAIN)
    assert isinstance(lesson, Asked)
    assert lesson.ids == ("one", "two/0", "two/1")
    assert batch_of(lesson.columns)["x"].tolist() == [0.0, 1.0, 2.0]
    assert lessons_of(records({"x": np.arange(3.0)}, None, "model_failed"), PLAIN) == []


def test_rows_that_tell_their_own_outcome_are_examples() -> None:
    taught = Signature((*PLAIN.inputs, Field("truth", "FP64", values="missing", content="target")), PLAIN.outputs)
    inputs = {"x": np.arange(3.0), "truth": np.array([7.0, np.nan, 9.0])}
    learned, waiting = lessons_of(records(inputs, {"y": np.zeros(3)}), taught)
    assert isinstance(learned, Examples) and isinstance(waiting, Asked)
    assert (learned.source, learned.ids, waiting.ids) == (SOURCE, ("one", "two/1"), ("two/0",))
    assert array(learned.outcomes).tolist() == [7.0, 9.0]
    assert batch_of(learned.columns)["x"].tolist() == [0.0, 2.0]


def test_a_target_may_be_a_text_and_every_row_may_have_one() -> None:
    taught = Signature((Field("truth", "BYTES", values="missing", content="target"),), PLAIN.outputs)
    told = np.array(["yes", None, "no"], object)
    learned, waiting = lessons_of(records({"truth": told}, {"y": np.zeros(3)}), taught)
    assert (learned.ids, waiting.ids) == (("one", "two/1"), ("two/0",))
    (every,) = lessons_of(records({"truth": np.array(["yes"] * 3, object)}, {"y": np.zeros(3)}), taught)
    assert isinstance(every, Examples)


def test_what_was_chosen_waits_with_the_row_but_nothing_that_was_told_is_changed() -> None:
    contract = signature((Field("x", "FP64"),), ["a", "b"])
    inputs = {
        "x": np.arange(3.0),
        "action": np.array([None, "b", None], object),
        "propensity": np.array([np.nan, np.nan, 0.7]),
        "id": np.array(["one", "two/0", "two/1"], object),
    }
    outputs = {"action": np.array(["a", "b", "a"], object), "propensity": np.array([0.9, 0.1, 0.9])}
    (lesson,) = lessons_of(records(inputs, outputs), contract)
    kept = batch_of(lesson.columns)
    assert kept["action"].tolist() == ["a", "b", None]
    np.testing.assert_array_equal(kept["propensity"], [0.9, np.nan, 0.7])
