"""Reads and writes single fields of protobuf messages, without generated code.

Enough to look inside a model file and to change a field of it, where the library that owns the schema is not installed.
Not a parser: it knows no schema. Source of the encoding: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from servable.domain.batch import Array

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
_MAX_VARINT_BYTES: Final = 10


class Malformed(ValueError):
    """The bytes are not a protobuf message."""


class Part(NamedTuple):
    """One field of a message: its number, its wire type, its value (varints only), and where it lies.

    `begin` is where the tag starts; the content is `data[start:stop]`.
    """

    number: int
    kind: int
    value: int
    begin: int
    start: int
    stop: int


def parts(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[Part]:
    """The fields of the message at `data[start:stop]`, in file order. Raises Malformed."""
    end = len(data) if stop is None else stop
    at = start
    while at < end:
        begin = at
        tag, at = _varint(data, at, end)
        number, kind, value = tag >> 3, tag & 7, 0
        first = at
        if kind == BYTES:
            size, first = _varint(data, at, end)
            at = first + size
        elif kind == VARINT:
            value, at = _varint(data, at, end)
        elif kind == FIXED32:
            at += 4
        elif kind == FIXED64:
            at += 8
        else:
            raise Malformed(f"wire type {kind} at byte {begin} does not exist")
        if number == 0:
            raise Malformed(f"field number 0 at byte {begin}")
        if at > end:
            raise Malformed(f"the field at byte {begin} runs {at - end} bytes past the end of its message")
        yield Part(number, kind, value, begin, first, at)


def text(data: bytes, part: Part) -> str:
    """The content of a string field."""
    return data[part.start : part.stop].decode("utf-8", "replace")


def text_field(data: bytes, message: Part, number: int) -> str:
    """The string field of this number inside a message: the last one, as every parser has it; empty if there is
    none.
    """
    found = ""
    for field in parts(data, message.start, message.stop):
        if field.number == number and field.kind == BYTES:
            found = text(data, field)
    return found


def put(number: int, content: bytes | str | int) -> bytes:
    """A field, encoded: bytes and text length-delimited, an int as a varint."""
    if isinstance(content, int):
        return _encoded(number << 3 | VARINT) + _encoded(content)
    raw = content.encode() if isinstance(content, str) else content
    return _encoded(number << 3 | BYTES) + _encoded(len(raw)) + raw


def packed(number: int, values: Array) -> bytes:
    """A field of many varints, one after the other: `values` are unsigned integers."""
    rest = values.astype(np.uint64)
    sizes = np.ones(len(rest), np.intp)
    for shift in range(7, 64, 7):
        sizes += rest >= np.uint64(1) << np.uint64(shift)
    out = np.zeros(int(sizes.sum()), np.uint8)
    first = np.cumsum(sizes) - sizes
    for at in range(int(sizes.max(initial=0))):
        there = sizes > at
        more = np.where(sizes[there] > at + 1, 0x80, 0).astype(np.uint8)
        out[first[there] + at] = (rest[there] & np.uint64(0x7F)).astype(np.uint8) | more
        rest = rest >> np.uint64(7)
    return put(number, out.tobytes())


def integers(data: bytes, message: Part, number: int) -> Array:
    """The first stretch of a repeated field of varints, as int64: packed, or each with its tag of one byte. Read all at
    once, as there may be millions.
    """
    first = next((field for field in parts(data, message.start, message.stop) if field.number == number), None)
    if first is None:
        return np.empty(0, np.int64)
    if first.kind == BYTES:
        return _varints(data[first.start : first.stop])
    found = _varints(data[first.begin : message.stop])
    return found[1::2][: _leading(found[:-1:2] == number << 3 | VARINT)]


def floats(data: bytes, message: Part, number: int) -> Array:
    """The same of floats, as float32."""
    first = next((field for field in parts(data, message.start, message.stop) if field.number == number), None)
    if first is None:
        return np.empty(0, np.float32)
    if first.kind == BYTES:
        return np.frombuffer(data[first.start : first.stop], "<f4")
    size = (message.stop - first.begin) // 5 * 5
    tagged = np.frombuffer(data[first.begin : first.begin + size], [("tag", "u1"), ("value", "<f4")])
    return np.asarray(tagged["value"][: _leading(tagged["tag"] == number << 3 | FIXED32)])


def _leading(those: Array) -> int:
    """How many are true before the first that is not."""
    return len(those) if those.all() else int(those.argmin())


def _varints(data: bytes) -> Array:
    """Numbers one after another, as int64."""
    raw = np.frombuffer(data, np.uint8)
    stops = np.flatnonzero(raw < 0x80) + 1
    starts = np.concatenate([np.zeros(min(len(stops), 1), np.intp), stops[:-1]])
    found = np.zeros(len(stops), np.uint64)
    for at in range(min(int((stops - starts).max(initial=0)), _MAX_VARINT_BYTES)):
        there = starts + at < stops
        found[there] |= (raw[starts[there] + at] & np.uint64(0x7F)) << np.uint64(7 * at)
    return found.view(np.int64)


def signed(value: int) -> int:
    """An int64 from its varint."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for _ in range(_MAX_VARINT_BYTES):
        if at >= end:
            raise Malformed(f"the message ends inside a number at byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed(f"the number at byte {at - _MAX_VARINT_BYTES} is longer than {_MAX_VARINT_BYTES} bytes")


def _encoded(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
