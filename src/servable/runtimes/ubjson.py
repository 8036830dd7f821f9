"""Universal Binary JSON as XGBoost writes it: read into Python values, skipping what nobody asked for.

Source of the encoding: ubjson.org, "Type Reference" and "Optimized Format". Numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Set as AbstractSet
from typing import Any, Final

import numpy as np

_NUMBERS: Final = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_CONSTANTS: Final = {b"T": True, b"F": False, b"Z": None}
_MAX_DEPTH: Final = 64


class BrokenUBJSON(ValueError):
    """The bytes are not UBJSON, or end too soon."""


def loads(data: bytes, skip: AbstractSet[str] = frozenset()) -> Any:
    """The document in `data`; the value of any key in `skip` is None. Raises BrokenUBJSON."""
    try:
        return _Reader(data, skip).value(0)
    except (struct.error, UnicodeDecodeError, IndexError, ValueError, KeyError) as error:
        raise BrokenUBJSON(f"broken or cut off: {error}") from error


class _Reader:
    def __init__(self, data: bytes, skip: AbstractSet[str]) -> None:
        self._data = data
        self._skip = skip
        self._at = 0

    def value(self, depth: int, kind: bytes | None = None, *, keep: bool = True) -> Any:
        kind = self._take(1) if kind is None else kind
        if depth > _MAX_DEPTH:
            raise BrokenUBJSON(f"nested deeper than {_MAX_DEPTH}")
        if kind in _NUMBERS:
            return self._number(kind)
        if kind == b"S":
            return self._text()
        if kind == b"[":
            return self._array(depth, keep=keep)
        if kind == b"{":
            return self._object(depth, keep=keep)
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        raise BrokenUBJSON(f"unknown marker {kind!r} at byte {self._at - 1}")

    def _object(self, depth: int, *, keep: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (marker := self._take(1)) != b"}":
            key = self._text(marker)
            wanted = keep and key not in self._skip
            value = self.value(depth + 1, keep=wanted)
            if keep:
                found[key] = value if wanted else None
        return found

    def _array(self, depth: int, *, keep: bool) -> Any:
        kind = count = None
        marker = self._take(1)
        if marker == b"$":
            kind, marker = self._take(1), self._take(1)
        if marker == b"#":
            count = self._number(self._take(1))
            if not isinstance(count, int) or count < 0:
                raise BrokenUBJSON(f"an array of {count} items at byte {self._at}")
        if kind in _NUMBERS and count is not None:
            dtype = np.dtype(_NUMBERS[kind])
            raw = self._take(count * dtype.itemsize)
            return np.frombuffer(raw, dtype).tolist() if keep else None
        items = []
        if count is None:
            while marker != b"]":
                items.append(self.value(depth + 1, marker, keep=keep))
                marker = self._take(1)
            return items
        for _ in range(count):
            item = self.value(depth + 1, kind, keep=keep)
            if keep:
                items.append(item)
        return items

    def _text(self, marker: bytes | None = None) -> str:
        return self._take(self._number(self._take(1) if marker is None else marker)).decode()

    def _number(self, kind: bytes) -> Any:
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self._take(dtype.itemsize), dtype)[0].item()

    def _take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._data):
            raise BrokenUBJSON(f"{count} bytes wanted at byte {self._at} of {len(self._data)}")
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken
