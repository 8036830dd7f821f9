"""Admission: which rows may be accepted at all. Before the journal: what is turned away here is no event."""

from __future__ import annotations

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.signature import Signature

NOT_FINITE = "a number that is not finite"


def unfit(batch: Batch, signature: Signature) -> Array:
    """For each row whether a number in it is none that can be learned: infinite, or missing where none may be.

    >>> from servable.domain.field import Field
    >>> signature = Signature((Field("x", "FP64", (-1, 2)),), (Field("y", "FP64"),))
    >>> unfit(Batch({"x": np.array([[1.0, 2.0], [np.nan, 1.0], [1.0, np.inf]])}), signature).tolist()
    [False, True, True]
    """
    found = np.zeros(batch.rows, bool)
    for field in signature.inputs:
        values = batch.columns.get(field.name)
        if values is not None and values.dtype.kind == "f":
            bad = np.isinf(values) if field.values != "finite" else ~np.isfinite(values)
            found |= bad.reshape(batch.rows, -1).any(axis=1)
    return found
