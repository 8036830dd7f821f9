"""Features: the rows of a Batch as numbers at positions, the one form that linear learners take.

Numbers are dense: the constant at position 0, then a position each. What is sparse follows, with the value 1: that a
number is missing, where it may be (it counts as 0 then), and for each text the position that its column and value hash
to. A text that is missing is a value of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS, INTEGERS
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import ConversionRejected, UsageError

NUMBERS = FLOATS | INTEGERS | {"BOOL"}
NOTHING = np.array([], np.intp)


class Encoded(NamedTuple):
    """`dense`: rows by constant and numbers, float64, none missing. `sparse`: for each row, distinct positions."""

    dense: Array
    sparse: Sequence[Array]


class Features:
    """The positions of a signature's inputs: `size` of them, `dense` of which hold numbers.

    >>> inputs = Field("x", "FP64", (-1, 2), values="missing"), Field("city", "BYTES")
    >>> signature = Signature(inputs, (Field("y", "FP64"),))
    >>> features = Features(signature, hash_bits=4)
    >>> features.dense, features.size
    (3, 21)
    >>> encoded = features.encode(Batch({"x": np.array([[0.5, np.nan]]), "city": np.array(["Oslo"], object)}))
    >>> encoded.dense.tolist(), encoded.sparse[0].tolist()
    ([[1.0, 0.5, 0.0]], [4, 14])
    """

    def __init__(self, signature: Signature, hash_bits: int = 18) -> None:
        """Ids and targets are no features. `hash_bits`: texts share `2 ** hash_bits` positions. Raises UsageError for
        an input that is neither a fixed number of numbers a row, nor one text.
        """
        self._numbers: list[tuple[Field, int]] = []
        self._texts: list[Field] = []
        missing = [False]
        for field in signature.inputs:
            if field.content in {"id", "target"}:
                continue
            count = int(np.prod(field.shape[1:], dtype=np.int64))
            if not signature.batched or count < 0 or (field.datatype == "BYTES" and count != 1):
                raise UsageError(
                    f"input {field.name!r} is {field.describe()}: expected a fixed number of numbers a row, or one text"
                )
            if field.datatype in NUMBERS:
                self._numbers.append((field, count))
                missing += [field.values != "finite"] * count
            else:
                self._texts.append(field)
        self.dense = len(missing)
        self._first_text = self.dense + sum(missing)
        self._absent = np.where(missing, self.dense + np.cumsum(missing) - 1, 0)
        """For each number the position that tells that it is missing; 0 where it never is."""
        self._buckets = 1 << hash_bits if self._texts else 0
        self._last: tuple[Batch, Encoded] = Batch({}), Encoded(np.ones((0, self.dense)), [])
        self.size = self._first_text + self._buckets

    def absences(self) -> dict[int, int]:
        """By the position of each number that may be missing, the one that tells that it is."""
        return {place: position for place, position in enumerate(self._absent.tolist()) if position}

    def known_texts(self) -> dict[str, dict[str | None, int]]:
        """By input, the position of each text that its contract takes. Raises ConversionRejected where it takes any."""
        known: dict[str, dict[str | None, int]] = {}
        for field in self._texts:
            if not field.categories:
                raise ConversionRejected(
                    f"input {field.name!r} takes any text, and what was learned of one is found by a hash, for which "
                    "ONNX has no operator: state its `categories`"
                )
            texts = [*map(str, field.categories), *([None] if field.values != "finite" else [])]
            known[field.name] = {text: self._position(field, text) for text in texts}
        return known

    def _position(self, field: Field, value: object) -> int:
        return self._first_text + zlib.crc32(f"{field.name}={value}".encode()) % self._buckets

    def encode(self, batch: Batch) -> Encoded:
        """The rows of a batch that its signature has checked, in their order. Not to be written to: what is predicted
        is learned next, and encoded once.
        """
        if self._last[0] is not batch:
            self._last = batch, self._encoded(batch)
        return self._last[1]

    def _encoded(self, batch: Batch) -> Encoded:
        dense = np.ones((batch.rows, self.dense))
        place = 1
        for field, count in self._numbers:
            dense[:, place : place + count] = batch[field.name].reshape(batch.rows, count)
            place += count
        if not self._texts and np.isfinite(dense.sum()):  # nothing is missing: no look at each number
            return Encoded(dense, [NOTHING] * batch.rows)
        absent = np.isnan(dense)
        dense[absent] = 0.0
        places: list[set[int]] = [set() for _ in range(batch.rows)]
        for row, position in np.argwhere(absent).tolist():
            if self._absent[position]:
                places[row].add(int(self._absent[position]))
        for field in self._texts:
            for held, value in zip(places, batch[field.name].reshape(-1).tolist(), strict=True):
                held.add(self._position(field, value))
        return Encoded(dense, [np.array(sorted(held), np.intp) for held in places])
