"""Frames: calls and answers between a model process and whoever asks it, as bytes: a struct, msgpack, raw tensors. No
pickle.

A frame is a header, a head in msgpack, and a body. A tensor lies in the body, or in an Arena that both sides map. The
door trusts nothing that it reads here: lengths are checked before memory is taken.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import DTYPES, datatype_of
from servable.domain.generation import Piece, Prompt
from servable.domain.problem import Problem

HEADER: Final = struct.Struct("<BxxxIQQd")
"""Kind, bytes of the head, bytes of the body, number of the call, deadline (a point of `time.monotonic`, which all
processes of a machine share).
"""

CALL: Final = 1
"""Door to process: predict. Its number comes back with the answer."""
ARENAS: Final = 2
"""Door to process: two descriptors come with it, of the arena for calls and the one for answers."""
LEAVE: Final = 3
"""Door to process: I have unloaded this version."""
GENERATE: Final = 4
"""Door to process: make a text; its head is a Prompt. PIECEs with its number come back, or a PROBLEM."""
CANCEL: Final = 5
"""Door to process: nobody wants the text of this number any more."""
WELCOME: Final = 16
"""Process to door: I am here, and listen."""
ANSWER: Final = 17
PROBLEM: Final = 18
"""Process to door: the call failed; its head is a Problem."""
GOODBYE: Final = 19
"""Process to door: I take no more calls; what I have not answered I have not begun."""
PIECE: Final = 20
"""Process to door: some of a text; its head is a Piece."""

SMALL: Final = 64 * 1024
"""Tensors of a call up to this many bytes together go through the socket, which is as fast for them."""
ALIGN: Final = 64
"""Tensors start at multiples of this, as vector instructions like it."""
SLATE: Final = ALIGN
"""The first bytes of an arena hold no tensors. In that for answers the process writes the number of the call it begins:
when it dies, the door knows whose call it was.
"""
IN_BODY: Final = -1
_LENGTH: Final = struct.Struct("<i")
_MISSING: Final = _LENGTH.pack(-1)


class Arena(Protocol):
    """Memory that both sides map (`engine/process/arena.py`)."""

    size: int

    def write(self, start: int, array: Array) -> None: ...
    def view(self, start: int, size: int) -> memoryview: ...


class Column(msgspec.Struct, array_like=True, frozen=True):
    """One tensor: where it lies, and what it is. `offset` is that in the arena; IN_BODY: the next bytes of the body."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    offset: int
    bytes: int


class Head(msgspec.Struct, array_like=True, frozen=True):
    """Of a CALL or an ANSWER. `seconds`: how long the model took. `wanted`: the arena's size that would have done."""

    rows: int
    columns: tuple[Column, ...]
    parameters: dict[str, Any] | None = None
    seconds: float = 0.0
    wanted: int = 0


class BadFrame(ValueError):
    """Bytes that are no frame, or claim what cannot be."""


UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding raises for bytes that are not msgpack, text that is not UTF-8, nesting without end."""


_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(Head).decode
_decode_problem = msgspec.msgpack.Decoder(Problem).decode
_decode_piece = msgspec.msgpack.Decoder(Piece).decode


def control(kind: int, number: int = 0) -> bytes:
    """A frame that says only what it is."""
    return HEADER.pack(kind, 0, 0, number, 0.0)


def problem(number: int, what: Problem) -> bytes:
    """A PROBLEM frame."""
    head = _encode(what)
    return HEADER.pack(PROBLEM, len(head), 0, number, 0.0) + head


def read_problem(head: bytes | memoryview) -> Problem:
    """The Problem of such a frame."""
    try:
        return _decode_problem(head)
    except UNREADABLE as error:
        raise BadFrame(f"a problem that cannot be read: {error}") from error


def generate(number: int, prompt: Prompt, deadline: float) -> bytes:
    """A GENERATE frame."""
    head = _encode(prompt)
    return HEADER.pack(GENERATE, len(head), 0, number, deadline) + head


def piece(number: int, what: Piece) -> bytes:
    """A PIECE frame."""
    head = _encode(what)
    return HEADER.pack(PIECE, len(head), 0, number, 0.0) + head


def read_piece(head: bytes | memoryview) -> Piece:
    """The Piece of such a frame."""
    try:
        return _decode_piece(head)
    except UNREADABLE as error:
        raise BadFrame(f"a piece that cannot be read: {error}") from error


def batch(
    kind: int,
    number: int,
    batch: Batch,
    arena: Arena | None,
    deadline: float = 0.0,
    seconds: float = 0.0,
) -> tuple[list[bytes | memoryview], int]:
    """A CALL or ANSWER frame as parts to be sent one after another, and the arena's size that would hold all tensors.

    Numeric tensors go to the arena if all together are more than SMALL and it has room; the rest to the body.
    """
    arrays = [(name, _plain(array)) for name, array in batch.columns.items()]
    large = sum(array.nbytes for _, array in arrays if array.dtype != object) > SMALL
    columns: list[Column] = []
    parts: list[bytes | memoryview] = []
    body, position = 0, SLATE
    for name, array in arrays:
        datatype = datatype_of(array.dtype)
        if datatype == "BYTES":
            data: bytes | memoryview = _texts(array)
        elif large:
            start = -(-position // ALIGN) * ALIGN
            position = start + array.nbytes
            if arena is not None and position <= arena.size:
                arena.write(start, array)
                columns.append(Column(name, datatype, array.shape, start, array.nbytes))
                continue
            data = _bytes_of(array)
        else:
            data = _bytes_of(array)
        columns.append(Column(name, datatype, array.shape, IN_BODY, len(data)))
        parts.append(data)
        body += len(data)
    parameters = dict(batch.parameters) if batch.parameters else None
    head = _encode(Head(batch.rows, tuple(columns), parameters, seconds, position))
    return [HEADER.pack(kind, len(head), body, number, deadline) + head, *parts], position


def read_batch(head: memoryview | bytes, body: memoryview, arena: Arena | None, *, copy: bool) -> tuple[Batch, Head]:
    """The batch of such a frame. Tensors are views of `body` and, unless `copy`, of the arena. Raises BadFrame."""
    try:
        told = _decode_head(head)
    except UNREADABLE as error:
        raise BadFrame(f"a head that cannot be read: {error}") from error
    columns: dict[str, Array] = {}
    position = 0
    for column in told.columns:
        if column.offset == IN_BODY:
            data = body[position : position + column.bytes]
            position += column.bytes
        elif arena is None or not 0 <= column.offset <= column.offset + column.bytes <= arena.size:
            raise BadFrame(f"tensor {column.name!r} lies outside the arena")
        else:
            data = arena.view(column.offset, column.bytes)
        try:
            columns[column.name] = _array(column, data, copy=copy and column.offset != IN_BODY)
        except (ValueError, OverflowError) as error:
            raise BadFrame(f"tensor {column.name!r}: {error}") from error
    if position != len(body):
        raise BadFrame(f"a body of {len(body)} bytes, of which the tensors are {position}")
    return Batch(columns, told.rows, told.parameters), told


def room_for(batch: Batch) -> int:
    """The arena's size that this batch needs; 0 if it needs none."""
    sizes = [array.nbytes for array in batch.columns.values() if array.dtype.kind in "biuf"]
    return SLATE + sum(sizes) + ALIGN * len(sizes) if sum(sizes) > SMALL else 0


def joined(parts: Sequence[bytes | memoryview]) -> bytes | memoryview:
    """Small parts as one, to be sent by one call of the system."""
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _plain(array: Array) -> Array:
    """The array in C order and of a dtype that the protocol has."""
    array = np.asarray(array)
    if array.dtype.kind in "USMT":
        return array.astype(str).astype(object)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    # Not ascontiguousarray alone: it gives an axis to what has none.
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _bytes_of(array: Array) -> memoryview | bytes:
    return array.reshape(-1).view(np.uint8).data if array.size else b""


def _array(column: Column, data: memoryview, *, copy: bool) -> Array:
    dtype = DTYPES.get(column.datatype)
    if dtype is None or any(size < 0 for size in column.shape):
        raise BadFrame(f"tensor {column.name!r} is {column.datatype} {list(column.shape)}")
    size = 1
    for length in column.shape:
        size *= length
    if column.datatype == "BYTES":
        return _from_texts(data, size).reshape(column.shape)
    if len(data) != column.bytes or column.bytes != size * dtype.itemsize:
        raise BadFrame(f"tensor {column.name!r} {list(column.shape)} has {len(data)} of {size * dtype.itemsize} bytes")
    array: Array = np.frombuffer(data, dtype).reshape(column.shape)
    return array.copy() if copy else array


def _texts(array: Array) -> bytes:
    """Each value after its length; -1 for a missing one."""
    parts = []
    for value in array.ravel().tolist():
        if value is None:
            parts.append(_MISSING)
            continue
        encoded = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


def _from_texts(data: memoryview, size: int) -> Array:
    if size * _LENGTH.size > len(data):
        raise BadFrame(f"{size} texts in {len(data)} bytes")
    array = np.empty(size, object)
    position = 0
    for index in range(size):
        if position + _LENGTH.size > len(data):
            raise BadFrame(f"{size} texts, of which {index} came")
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        if length < 0:
            continue
        if position + length > len(data):
            raise BadFrame(f"a text of {length} bytes where {len(data) - position} are left")
        value = bytes(data[position : position + length])
        position += length
        try:
            array[index] = value.decode()
        except UnicodeDecodeError:
            array[index] = value
    if position != len(data):
        raise BadFrame(f"{len(data) - position} bytes after the last text")
    return array
