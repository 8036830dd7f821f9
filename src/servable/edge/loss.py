"""How far a variant of a model is from the original, on the same rows: one number from 0 for each output, and what it
is made of.

Of vectors (an embedding) it is 1 - the lowest cosine; of labels the share of rows that got another one; of other
numbers the largest difference as a share of their range, and where they are scores of classes, the share of rows where
another class is highest, if that is more.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.signature import Signature

WHOLE: Final = 1.0
"""The loss of an answer that is missing, or has another shape."""
_MATRIX: Final = 2


class Loss(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one output. `largest` is the largest absolute difference of its numbers, `agreement` the share of rows with
    the same label or the same highest class, `cosine` the lowest of a row.
    """

    output: str
    loss: float
    largest: float | None = None
    agreement: float | None = None
    cosine: float | None = None

    def __str__(self) -> str:
        told = [] if self.largest is None else [f"±{self.largest:.2g}"]
        told += [] if self.agreement is None else [f"{self.agreement:.2%} agree"]
        told += [] if self.cosine is None else [f"cosine ≥ {self.cosine:.4f}"]
        return f"{self.output} {', '.join(told)}"


def losses(expected: Batch, found: Batch, signature: Signature) -> tuple[Loss, ...]:
    """One Loss an output, in the order of the signature."""
    return tuple(_loss(field, expected[field.name], found.columns.get(field.name)) for field in signature.outputs)


def _loss(field: Field, expected: Array, found: Array | None) -> Loss:
    if found is None or found.shape != expected.shape:
        return Loss(field.name, WHOLE)
    if not expected.size:
        return Loss(field.name, 0.0)
    if expected.dtype.kind != "f":
        agreement = float(np.mean(np.asarray(expected == found, bool)))
        return Loss(field.name, 1 - agreement, agreement=agreement)
    wide, other = expected.astype(np.float64), found.astype(np.float64)
    if not np.array_equal(np.isfinite(wide), np.isfinite(other)):
        return Loss(field.name, WHOLE)
    wide, other = (np.where(np.isfinite(each), each, 0.0) for each in (wide, other))
    largest = float(np.abs(wide - other).max())
    if wide.ndim < _MATRIX or wide.shape[-1] < _MATRIX:
        return Loss(field.name, _share(largest, wide), largest)
    if not field.features:
        cosine = float(_cosines(wide, other).min())
        return Loss(field.name, max(0.0, 1 - cosine), largest, cosine=cosine)
    agreement = float(np.mean(wide.argmax(axis=-1) == other.argmax(axis=-1)))
    return Loss(field.name, max(_share(largest, wide), 1 - agreement), largest, agreement)


def _share(largest: float, values: Array) -> float:
    spread = float(values.max() - values.min())
    return largest / spread if spread > 0 else float(largest > 0)


def _cosines(one: Array, other: Array) -> Array:
    """Of each row; two rows of zeros are alike."""
    flat, more = (each.reshape(len(each), -1) for each in (one, other))
    sizes = np.linalg.norm(flat, axis=1) * np.linalg.norm(more, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(sizes > 0, (flat * more).sum(axis=1) / sizes, np.all(flat == more, axis=1).astype(float))
    return np.asarray(found)
