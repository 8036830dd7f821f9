"""Layout: one row's outputs as bytes, and bytes as rows. Numbers of a fixed shape lie at fixed places, little-endian,
one column after another; texts, and arrays of any size, follow as MessagePack.

A block is written as one numpy array, and read as one: no Python object a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from struct import Struct
from typing import Any, Final

import msgspec
import numpy as np
import orjson

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.errors import CorruptModel

CODES: Final = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f8": "d",
}  # fmt: skip
"""Numpy's kinds of numbers, as `struct` calls them."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Any]).decode


class Layout:
    """How the columns of one generation lie in its answers.

    >>> layout = Layout((Field("score", "FP32"), Field("class", "BYTES")))
    >>> batch = Batch({"score": np.array([0.5], np.float32), "class": np.array(["yes"], object)})
    >>> layout.rows(layout.encode(batch))
    [{'score': 0.5, 'class': 'yes'}]
    """

    def __init__(self, columns: Sequence[Field]) -> None:
        self.columns = tuple(columns)
        fixed = [field for field in columns if field.datatype != "BYTES" and -1 not in field.shape[1:]]
        self._loose = [field for field in columns if field not in fixed]
        self._dtype = np.dtype([(field.name, field.dtype.newbyteorder("<"), field.shape[1:]) for field in fixed])
        self._size = self._dtype.itemsize
        self._deep = any(len(field.shape) > 2 or field.datatype == "FP16" for field in fixed)
        places = {name: place[1] for name, place in (self._dtype.fields or {}).items()}
        awkward = self._loose or self._deep
        self._readers = [] if awkward else [(field.name, _reader(field, places[field.name])) for field in columns]
        self._text = b"{%b}" % b",".join([b"%b:%b" % (_name(field.name), _place(field)) for field in self.columns])

    def pack(self, batch: Batch) -> Array | list[bytes]:
        """One answer for each row: an array where all have the same length, which `tolist` makes bytes of."""
        rows = batch.rows
        table = np.empty(rows, self._dtype)
        for name in self._dtype.names or ():
            table[name] = batch[name]
        heads: Array | list[bytes] = table.view(f"V{self._size}") if self._size else [b""] * rows
        if not self._loose:
            return heads
        values = zip(*(batch[field.name].tolist() for field in self._loose), strict=True)
        return [head + _pack(row) for head, row in zip(_bytes(heads), values, strict=True)]

    def encode(self, batch: Batch) -> list[bytes]:
        """The same, each by itself."""
        return _bytes(self.pack(batch))

    def rows(self, answers: Sequence[bytes]) -> list[dict[str, Any]]:
        """JSON-ready rows, as a prediction asked in rows gets them. Raises CorruptModel for bytes that are no answers.

        NaN is None, and a float32 the shortest number that reads back to it.
        """
        try:
            columns = self._columns(answers)
        except (ValueError, msgspec.DecodeError) as error:
            raise _unreadable(error) from error
        names = [field.name for field in self.columns]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def texts(self, answers: Sequence[bytes]) -> list[bytes]:
        """Rows as JSON, each by itself, as `rows` has them: no Python object a value. Raises CorruptModel."""
        if len(answers) == 1:
            return [self.json(answers[0])]
        if self._loose or self._deep or not answers:
            return list(map(orjson.dumps, self.rows(answers)))
        try:
            table = np.frombuffer(b"".join(answers), self._dtype)
        except ValueError as error:
            raise _unreadable(error) from error
        columns = [words for field in self.columns for words in _words(table[field.name], field)]
        return [self._text % row for row in zip(*columns, strict=True)]

    def json(self, answer: bytes) -> bytes:
        """One row as JSON, as `rows` has it. Raises CorruptModel."""
        if self._loose or self._deep:
            return orjson.dumps(self.rows((answer,))[0])
        if len(answer) != self._size:
            raise _unreadable(ValueError(f"expected {self._size} bytes, got {len(answer)}"))
        row: dict[str, Any] = {}
        for name, read in self._readers:
            row[name] = read(answer)
        return orjson.dumps(row, None, orjson.OPT_SERIALIZE_NUMPY)

    def _columns(self, answers: Sequence[bytes]) -> list[list[Any]]:
        size = self._size
        found: dict[str, list[Any]] = {}
        if self._loose:
            tails = [_unpack(answer[size:]) for answer in answers]
            found = {field.name: [tail[at] for tail in tails] for at, field in enumerate(self._loose)}
            answers = [answer[:size] for answer in answers] if size else []
        if size:
            table = np.frombuffer(b"".join(answers), self._dtype)
            for name in self._dtype.names or ():
                array = np.ascontiguousarray(table[name])
                found[name] = orjson.loads(orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY))
        return list(starmap(_shaped, ((found[field.name], field) for field in self.columns)))


def _reader(field: Field, offset: int) -> Callable[[bytes], Any]:
    """Gives what a column holds in an answer, for orjson: a float32 as numpy's, which is written as short as can be."""
    dtype, count = field.dtype.newbyteorder("<"), math.prod(field.shape[1:])

    def floats(answer: bytes) -> Any:
        return np.frombuffer(answer, dtype, count, offset)

    vector: Callable[[bytes], Any] = floats
    if field.datatype != "FP32":
        vector = Struct(f"<{offset}x{count}{CODES[dtype.str[1:]]}").unpack_from
    if features := field.features:
        return lambda answer: dict(zip(features, vector(answer), strict=True))
    return (lambda answer: vector(answer)[0]) if field.shape[1:] in {(), (1,)} else vector


def _unreadable(error: Exception) -> CorruptModel:
    return CorruptModel(f"an answer in the table cannot be read: {error}; make the table anew")


def _name(name: str) -> bytes:
    return orjson.dumps(name).replace(b"%", b"%%")


def _place(field: Field) -> bytes:
    """Where the words of a column go in the text of a row."""
    if field.features:
        return b"{%b}" % b",".join([b"%b:%%b" % _name(name) for name in field.features])
    return b"%b" if field.shape[1:] in {(), (1,)} else b"[%b]"


def _words(values: Array, field: Field) -> Iterator[list[bytes]]:
    """The JSON of a column, cut into rows: once for each place."""
    if field.features:
        for at in range(len(field.features)):
            yield _json(values[:, at])[1:-1].split(b",")
    elif field.shape[1:] in {(), (1,)}:
        yield _json(values.reshape(len(values)))[1:-1].split(b",")
    else:
        yield _json(values)[2:-2].split(b"],[")


def _json(values: Array) -> bytes:
    return orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)


def _bytes(packed: Array | list[bytes]) -> list[bytes]:
    return packed if isinstance(packed, list) else list(packed.tolist())


def _shaped(values: list[Any], field: Field) -> list[Any]:
    """A column as rows show it: a matrix with named features as objects, one of a single column as plain values."""
    if field.datatype == "BYTES":
        values = [_text(value) for value in values]
    if len(field.shape) > 1 and field.features:
        return [dict(zip(field.features, row, strict=True)) for row in values]
    if field.shape[1:] == (1,):
        return [row[0] for row in values]
    return values


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(one) for one in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value
