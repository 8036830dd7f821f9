"""Kept: what a door tells the learner's process of predictions that were answered. A pure function.

Rows whose outcome came in the request itself (its `target`) are examples already. The others wait for theirs. What the
model answered under the name of an input that was left out is part of what waits: the action that a bandit chose, and
its propensity.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.record import Records, ids_of
from servable.domain.signature import Signature
from servable.online.event import LABEL, column, columns
from servable.online.messages import Asked, Examples, Lesson

SOURCE: Final = "predict"
"""Of examples that came as predictions."""


def lessons_of(records: Records, signature: Signature) -> list[Lesson]:
    """What is to be learned from these, and what is to be kept. Nothing, of those that failed."""
    if records.error or records.outputs is None:
        return []
    batch = answered(records.inputs, records.outputs)
    ids = [key for id, rows in zip(records.ids, records.rows, strict=True) for key in ids_of(id, rows)]
    target = signature.target
    answers = _judged(records.outputs)
    if target is None:
        return [Asked(tuple(ids), columns(batch), None if answers is None else column(*answers))]
    told = batch[target.name].reshape(-1)
    known = ~absent(told)
    lessons: list[Lesson] = []
    for places in (np.flatnonzero(known), np.flatnonzero(~known)):
        if len(places):
            chosen = tuple(ids[place] for place in places.tolist())
            rows = Batch({name: values[places] for name, values in batch.columns.items()}, len(places))
            outcomes = column("", told[places])
            asked = not known[places[0]]
            given = None if answers is None else column(answers[0], answers[1][places])
            kept = columns(rows)
            lessons.append(Asked(chosen, kept, given) if asked else Examples(SOURCE, chosen, kept, outcomes))
    return lessons


def _judged(outputs: Batch) -> tuple[str, Array] | None:
    """The answers that outcomes are held against: classes, or else the first number of each row; and their name."""
    if LABEL in outputs:
        return LABEL, outputs[LABEL]
    for name, values in outputs.columns.items():
        if values.dtype.kind in "fiu" and values.ndim == 1:
            return name, values
    return None


def answered(inputs: Batch, outputs: Batch) -> Batch:
    """The inputs, with what was answered in those that are outputs too, in rows where the caller told none of these.

    >>> told = Batch({"x": np.array([1.0, 2.0]), "action": np.array([None, "b"], object)})
    >>> answered(told, Batch({"action": np.array(["a", "a"], object)}))["action"].tolist()
    ['a', 'b']
    """
    shared = [name for name in inputs if name in outputs]
    if not shared:
        return inputs
    open_rows = np.logical_and.reduce([absent(inputs[name].reshape(inputs.rows, -1)[:, 0]) for name in shared])
    filled = {name: np.where(open_rows, outputs[name], inputs[name]) for name in shared}
    return Batch({**inputs.columns, **filled}, inputs.rows)


def absent(values: Array) -> Array:
    """Where there is no value: None, or NaN."""
    if values.dtype == object:
        return np.array([value is None for value in values.tolist()], bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
