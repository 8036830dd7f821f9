"""Comparison: how far two versions agree on the same rows."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from servable.domain.batch import Array, Batch

NEAR: Final = 1e-3
"""Numbers that differ by no more than this share of the larger one agree."""


class Comparison(NamedTuple):
    """Of `rows`, so many `agreed`; `largest` is the largest difference between two of their numbers."""

    rows: int
    agreed: int
    largest: float


def compare(live: Batch, shadow: Batch) -> Comparison:
    """Row by row, over the outputs that both have.

    Where an output says which (a class, a text, a truth), that is compared; of several numbers in a row, which is the
    highest; of a single number, whether they are near. An output that the other lacks, or has in another shape, agrees
    nowhere.

    >>> a = Batch({"p": np.array([[0.2, 0.8], [0.6, 0.4]])})
    >>> compare(a, Batch({"p": np.array([[0.3, 0.7], [0.4, 0.6]])}))
    Comparison(rows=2, agreed=1, largest=0.2)
    """
    if live.rows == 0:
        return Comparison(0, 0, 0.0)
    agreed = np.ones(live.rows, bool)
    largest = 0.0
    for name, ours in live.columns.items():
        theirs = shadow.columns.get(name)
        if theirs is None or theirs.shape != ours.shape or (ours.dtype == object) != (theirs.dtype == object):
            agreed[:] = False
            continue
        if ours.dtype.kind == "f":
            with np.errstate(invalid="ignore"):  # infinite in both: no difference
                gap = np.abs(ours.astype(np.float64) - theirs)
            largest = max(largest, float(np.fmax.reduce(gap, axis=None, initial=0.0)))
        agreed &= _agree(ours.reshape(live.rows, -1), theirs.reshape(live.rows, -1))
    return Comparison(live.rows, int(agreed.sum()), round(largest, 9))


def _agree(ours: Array, theirs: Array) -> Array:
    if ours.dtype.kind != "f":
        return np.asarray((ours == theirs).all(1))
    if ours.shape[1] > 1:
        return np.asarray(ours.argmax(1) == theirs.argmax(1))
    return np.asarray(np.isclose(ours, theirs, rtol=NEAR, atol=NEAR * NEAR, equal_nan=True).all(1))
