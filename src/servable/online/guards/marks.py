"""Marks: numbers drawn from the examples themselves, by which the guards choose where to look and what to ask about.

By a count, one example that was refused would move all looks that come after it; and what an unsteady learner is at a
look differs from what it is one example later. As files are cut for a comparison of their parts (A. Tridgell,
"Efficient algorithms for sorting and synchronization", 1999), a mark comes of the last few examples: behind one that is
missing all marks are soon what they were. Examples that are alike have different ones, for those before them differ.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

import msgspec

from servable.domain.batch import Batch

TOGETHER: Final = 16
"""Examples that a mark comes of."""


class Marks(msgspec.Struct, array_like=True):
    """`last`: the sums of the last examples, fewer than TOGETHER of them."""

    last: list[int] = []

    def of(self, batch: Batch) -> list[int]:
        """One a row, from 0 to 2**32 - 1.

        >>> import numpy as np
        >>> x = np.arange(100.0)
        >>> whole = Marks().of(Batch({"x": x}))
        >>> Marks().of(Batch({"x": np.delete(x, 30)}))[45:] == whole[46:]
        True
        """
        marks = []
        window = self.last
        for own in _sums(batch):
            window.append(own)
            marks.append(crc32(sum(window).to_bytes(8, "big")))
            if len(window) >= TOGETHER:
                del window[0]
        return marks


def due(marks: list[int], rows: int, every: int) -> bool:
    """Whether it is time for a look, `rows` after the last: once in `every` on average, at one whose mark says so; no
    sooner than half as many, no later than twice as many.

    >>> due([100], 49, every=100), due([100], 50, every=100), due([101], 50, every=100), due([101], 200, every=100)
    (False, True, False, True)
    """
    half = max(every // 2, 1)
    return rows >= 2 * every or (rows >= half and any(mark % half == 0 for mark in marks))


def _sums(batch: Batch) -> list[int]:
    """Of what stands in each row."""
    sums = [0] * batch.rows
    for values in batch.columns.values():
        if values.dtype == object:
            parts = [str(row).encode() for row in values.tolist()]
        else:
            data = values.tobytes()
            wide = len(data) // max(batch.rows, 1)
            parts = [data[place * wide : place * wide + wide] for place in range(batch.rows)]
        sums = list(map(crc32, parts, sums))
    return sums
