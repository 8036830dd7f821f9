"""Plain: an input of numbers that JSON can give as they are, and how a flat list of them becomes its array.

For `flat_json.py`, which reads whole bodies, and `known_bodies.py`, which reads numbers only.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np

from servable.domain.batch import Array
from servable.domain.datatypes import FLOATS
from servable.domain.field import Field
from servable.wire.tensors import EXACT_IN_FLOAT32, from_numbers

SIMD_FROM_BYTES: Final = 900
"""Text of this length on holds more than some hundred numbers: from there simdjson is faster than orjson."""

_LETTERS: Final = {
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "FP32": "f", "FP64": "d",
}  # fmt: skip
"""`struct`'s letters, in standard sizes with `=`."""


class Plain(NamedTuple):
    """Datatype, dtype and `struct`'s letter; simdjson's letter and dtype for such numbers; the shape past the rows."""

    datatype: str
    dtype: np.dtype[Any]
    letter: str
    kind: Literal["d", "i"]
    source: np.dtype[Any]
    trailing: tuple[int, ...]


def plain(field: Field) -> Plain | None:
    """The field as such, if it has no limits and a fixed size past the rows."""
    letter = _LETTERS.get(field.datatype)
    if letter is None or field.low is not None or field.high is not None or field.categories or -1 in field.shape[1:]:
        return None
    kind: Literal["d", "i"] = "d" if field.datatype in FLOATS else "i"
    source = np.dtype(np.float64 if kind == "d" else np.int64)
    return Plain(field.datatype, field.dtype, letter, kind, source, field.shape[1:])


def from_simd(numbers: Any, plain: Plain, shape: tuple[int, ...]) -> Array:
    """A list that simdjson has parsed, as an array. Raises ValueError, TypeError or RuntimeError where that fails."""
    flat = np.frombuffer(numbers.as_buffer(of_type=plain.kind), plain.source)
    if plain.kind == "i":
        return from_numbers(flat, plain.datatype, shape)
    if flat.dot(flat) < EXACT_IN_FLOAT32:
        return flat.astype(plain.dtype).reshape(shape)
    raise ValueError("a number that is perhaps too large")
