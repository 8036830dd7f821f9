"""Handing rows over: the columns of one contract as another takes them, and the other's answer as the first gives it.

Columns are found by name, never by position, so that a simple model of few columns can stand in for one of many.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.columns import column_names, columns
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import ModelFailed

FARTHEST: Final = 4
"""Fallbacks of fallbacks that a row is handed on to."""


def taken_by(other: Signature, batch: Batch, own: Signature) -> Batch:
    """The rows of a batch by `own` as `other` takes them. Raises ModelFailed: no error of the caller's."""
    if other.inputs == own.inputs:
        return batch
    named: dict[str, Array] = {}
    found: dict[str, Array] = {}
    for field in other.inputs:
        if field == own.input(field.name):
            found[field.name] = batch[field.name]
            continue
        named = named or columns(batch, own.inputs)
        names = column_names(field)
        if names and all(name in named for name in names):
            array = np.column_stack([named[name] for name in names])
            found[field.name] = _cast(array.reshape(batch.rows, *[len(names)] * (len(field.shape) - 1)), field)
    taken = other.complete(Batch(found, batch.rows))
    if faults := other.check(taken):
        raise ModelFailed(f"a rule hands rows to a model that does not take them: {'; '.join(map(str, faults))}")
    return taken


def conformed(answer: Batch, own: Signature, by: str) -> Batch:
    """The outputs of `own` from the answer of a fallback. Raises ModelFailed that names it and what it lacks."""
    found = {}
    for field in own.outputs:
        array = answer.columns.get(field.name)
        if array is None or not _fits(array, field):
            raise ModelFailed(
                f"a rule hands rows over to {by}, which does not answer with {field.name!r} as {field.describe()}"
            )
        found[field.name] = _cast(array, field)
    return Batch(found, answer.rows)


def _fits(array: Array, field: Field) -> bool:
    if array.ndim != len(field.shape) or not np.can_cast(array.dtype, field.dtype, "same_kind"):
        return False
    return all(size in {-1, got} for size, got in zip(field.shape, array.shape, strict=True))


def _cast(array: Array, field: Field) -> Array:
    return array if array.dtype == field.dtype else array.astype(field.dtype)
