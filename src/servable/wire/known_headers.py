"""KnownHeaders: requests with binary tensors whose JSON header has come before, byte for byte.

A client's header repeats, request after request. What it says was read and judged once: the second time the tensors
behind it are views at known places, and only their values remain to be judged.
"""

from __future__ import annotations

import sys
from typing import Any, Final, NamedTuple

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.wire.inquiry import Inquiry, Wanted
from servable.wire.options import Options

MEMORY: Final = 256
"""Headers remembered, at the most."""


class _Tensor(NamedTuple):
    """Where an input lies behind the header, and its Field if its values have limits."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    judge: Field | None


class _Known(NamedTuple):
    tensors: tuple[_Tensor, ...]
    size: int
    rows: int
    options: Options
    wanted: tuple[Wanted, ...] | None


class KnownHeaders:
    """Those of one signature."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}

    def read(self, body: bytes, length: int) -> Inquiry | None:
        """The Inquiry of a good request whose first `length` bytes are a known header; None for any other."""
        known = self._known.get(body[:length])
        if known is None or len(body) - length != known.size:
            return None
        data = body[length:]  # a copy, which begins where the processor likes numbers to begin
        columns: dict[str, Array] = {}
        for name, shape, dtype, start, judge in known.tensors:
            array: Array = np.ndarray(shape, dtype, data, start)
            if judge is not None and next(judge.value_faults(array), None) is not None:
                return None
            columns[name] = array
        return Inquiry(Batch(columns, known.rows, known.options.parameters), known.options, known.wanted)

    def remember(self, header: bytes, inquiry: Inquiry, fields: dict[str, Field], order: list[str]) -> None:
        """Keep the header of a request that was good and had all its inputs, in this `order`, as binary data.

        Not where a value's place is in the data itself (texts have lengths of their own inside) or not ours to view.
        """
        columns = inquiry.batch.columns
        views = all(columns[name].dtype.kind in "iuf" for name in order) and sys.byteorder == "little"
        if not views or len(order) != len(columns):
            return
        tensors, position = [], 0
        for name in order:
            array, field = columns[name], fields[name]
            free = field.values == "any" or array.dtype.kind != "f"
            limited = not free or field.low is not None or field.high is not None or bool(field.categories)
            tensors.append(_Tensor(name, array.shape, array.dtype, position, field if limited else None))
            position += array.nbytes
        if len(self._known) >= MEMORY:
            self._known.clear()
        self._known[header] = _Known(tuple(tensors), position, inquiry.batch.rows, inquiry.options, inquiry.wanted)
