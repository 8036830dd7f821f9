"""Thrift's compact protocol, as far as the footer of a Parquet file goes: numbered fields to bytes, and back.

What a field means is not known here, so that fields of a later Parquet pass unharmed. (Apache Thrift, "Thrift compact
protocol encoding".)
"""

from __future__ import annotations

from typing import Any, Final

TRUE: Final = 1
FALSE: Final = 2
I8: Final = 3
I16: Final = 4
I32: Final = 5
I64: Final = 6
DOUBLE: Final = 7
BINARY: Final = 8
LIST: Final = 9
SET: Final = 10
MAP: Final = 11
STRUCT: Final = 12

_WHOLE: Final = frozenset({I16, I32, I64})

Struct = dict[int, tuple[int, Any]]
"""Number of a field to its kind and value. Of a list, the value is the kind of its items and the items; of a map, a
pair of kinds and pairs of values. A double stays 8 bytes, and so does what lies deeper than anybody looks.
"""

DEEPEST: Final = 4
"""Structs within each other that are taken apart: a file's, a group's, a chunk's, and what is told of it."""


def loads(data: bytes) -> Struct:
    """The struct at the beginning of some bytes. Raises ValueError where they are cut off or no struct.

    >>> loads(dumps({1: (I32, -3), 4: (LIST, (BINARY, [b"a", b"b"]))}))
    {1: (5, -3), 4: (9, (8, [b'a', b'b']))}
    """
    try:
        return _Reader(data).struct()
    except IndexError as error:
        raise ValueError("the struct is cut off") from error


def dumps(struct: Struct) -> bytes:
    """A struct as bytes."""
    out = bytearray()
    _put_struct(out, struct)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._depth = 0

    def struct(self) -> Struct:
        self._depth += 1
        found: Struct = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._whole()
            kind = head & 15
            start = self._at
            value = kind == TRUE if kind in {TRUE, FALSE} else self._value(kind)
            if kind >= LIST and self._depth >= DEEPEST:
                value = self._data[start : self._at]
            found[number] = (kind, value)
        self._depth -= 1
        return found

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("the struct is cut off")
        return self._data[self._at - count : self._at]

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _whole(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)

    def _value(self, kind: int) -> Any:
        if kind in _WHOLE:
            return self._whole()
        if kind == BINARY:
            return self._take(self._unsigned())
        if kind == STRUCT:
            return self.struct()
        if kind in {LIST, SET}:
            head = self._byte()
            count = self._unsigned() if head >> 4 == 15 else head >> 4
            return head & 15, [self._value(head & 15) for _ in range(count)]
        if kind == MAP:
            count = self._unsigned()
            kinds = self._byte() if count else 0
            pairs = [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(count)]
            return (kinds >> 4, kinds & 15), pairs
        if kind == DOUBLE:
            return self._take(8)
        if kind in {I8, TRUE, FALSE}:  # a boolean that is no field is a byte
            return self._byte()
        raise ValueError(f"there is no kind {kind}")


def _put_struct(out: bytearray, struct: Struct) -> None:
    last = 0
    for number, (kind, value) in sorted(struct.items()):
        kind = kind if kind not in {TRUE, FALSE} else TRUE if value else FALSE  # noqa: PLW2901 - the value says which
        if 0 < number - last < 16:
            out.append(number - last << 4 | kind)
        else:
            out.append(kind)
            _put_whole(out, number)
        last = number
        if kind not in {TRUE, FALSE}:
            _put(out, kind, value)
    out.append(0)


def _put(out: bytearray, kind: int, value: Any) -> None:
    if kind in _WHOLE:
        _put_whole(out, value)
    elif kind != BINARY and isinstance(value, bytes):
        out += value
    elif kind == BINARY:
        _put_unsigned(out, len(value))
        out += value
    elif kind == STRUCT:
        _put_struct(out, value)
    elif kind in {LIST, SET}:
        of, items = value
        if len(items) < 15:
            out.append(len(items) << 4 | of)
        else:
            out.append(15 << 4 | of)
            _put_unsigned(out, len(items))
        for item in items:
            _put(out, of, item)
    elif kind == MAP:
        kinds, pairs = value
        _put_unsigned(out, len(pairs))
        if pairs:
            out.append(kinds[0] << 4 | kinds[1])
        for pair in pairs:
            for of, item in zip(kinds, pair, strict=True):
                _put(out, of, item)
    else:
        out.append(value)


def _put_unsigned(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _put_whole(out: bytearray, value: int) -> None:
    _put_unsigned(out, value << 1 if value >= 0 else (-value << 1) - 1)
