"""Answers of a classifier: from its numbers to the outputs `label` and `probabilities`. Shared by the tree runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array
from servable.domain.field import Field

LABEL: Final = "label"
PROBABILITIES: Final = "probabilities"
PREDICTION: Final = "prediction"
SCORES: Final = "scores"
EVEN: Final = 0.5
"""What is more probable than this is more probable than not."""


class Classes:
    """The classes in the order of the model's numbers. `values` are text, whole numbers, booleans or floats."""

    def __init__(self, values: Sequence[Any]) -> None:
        array = np.array(list(values))
        self.values: Array = array.astype(object) if array.dtype.kind in "US" else array
        if array.dtype.kind == "i":
            self.values = array.astype(np.int64)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, for the manifest's `labels`."""
        return tuple(map(str, self.values.tolist()))

    @property
    def datatype(self) -> str:
        """The datatype of `label`."""
        return {"O": "BYTES", "i": "INT64", "b": "BOOL"}.get(self.values.dtype.kind, "FP64")

    def fields(self, datatype: str) -> tuple[Field, ...]:
        """The fields of `label` and `probabilities`, the latter in the model's float `datatype`."""
        shape = (-1, len(self.values))
        return Field(LABEL, self.datatype), Field(PROBABILITIES, datatype, shape, features=self.names, values="any")

    def answer(self, probabilities: Array) -> dict[str, Array]:
        """The most probable class, the first of equals, beside the probabilities [rows, classes]."""
        return {LABEL: self.values[probabilities.argmax(axis=1)], PROBABILITIES: probabilities}


def both(positive: Array) -> Array:
    """[rows, 2] from the probability of the second class, [rows] or [rows, 1]."""
    column = positive.reshape(-1, 1)
    return np.concatenate([1 - column, column], axis=1)


def softmax(margins: Array) -> Array:
    """Probabilities from raw scores [rows, classes]."""
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def each(shares: Array) -> dict[str, Array]:
    """Several yes-or-no answers at once, [rows, targets]."""
    return {LABEL: (shares > EVEN).astype(np.int64), PROBABILITIES: shares}
