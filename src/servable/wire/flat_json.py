"""FlatJson: the common V2 body, read fast: each input's data a flat list of numbers, and nothing but an id beside.

Short lists go through `struct`, which checks types and ranges while it packs; long ones through a SIMD parser, which
gives the numbers as one buffer. Whatever is not of this form, or not good, is left to the general way in
`open_inference.py`, which tells every fault.
"""

from __future__ import annotations

import struct
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import orjson
import simdjson

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS
from servable.domain.signature import Signature
from servable.wire.tensors import EXACT_IN_FLOAT32, from_numbers

SIMD_FROM_BYTES: Final = 900
"""Bodies of this length on hold some hundred numbers: from there simdjson is faster."""
PACKERS: Final = 1024

_INT: Final = {int}
_LETTERS: Final = {
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "FP32": "f", "FP64": "d",
}  # fmt: skip
"""`struct`'s letters, in standard sizes with `<`."""


class _Plain(NamedTuple):
    """An input of plain numbers: datatype and dtype, simdjson's letter and dtype for them, the shape past the rows."""

    datatype: str
    dtype: np.dtype[Any]
    kind: Literal["d", "i"]
    source: np.dtype[Any]
    trailing: tuple[int, ...]


class FlatJson:
    """A reader for one signature. Keeps its parser, so it is for one thread."""

    def __init__(self, inputs: dict[str, _Plain]) -> None:
        self._inputs = inputs
        self._packers: dict[tuple[str, int], struct.Struct] = {}
        self._parser = simdjson.Parser()

    @staticmethod
    def of(signature: Signature) -> FlatJson | None:
        """A reader, if all inputs are plain: numbers with no limits, of a fixed size past the rows."""
        inputs = {}
        for field in signature.inputs:
            limited = field.low is not None or field.high is not None or field.categories
            if not signature.batched or field.datatype not in _LETTERS or limited or -1 in field.shape[1:]:
                return None
            source = np.dtype(np.float64 if field.datatype in FLOATS else np.int64)
            kind: Literal["d", "i"] = "d" if field.datatype in FLOATS else "i"
            inputs[field.name] = _Plain(field.datatype, field.dtype, kind, source, field.shape[1:])
        return FlatJson(inputs)

    def read(self, body: bytes) -> tuple[Batch, str] | None:
        """The batch and the id (empty if none came) of a body that is all right; else None."""
        return self._read_short(body) if len(body) < SIMD_FROM_BYTES else self._read_long(body)

    def _read_short(self, body: bytes) -> tuple[Batch, str] | None:
        # `struct` would take true for 1.
        if b"true" in body or b"false" in body:
            return None
        try:
            document = orjson.loads(body)
            tensors = document["inputs"]
            if len(document) == 1:
                request_id = ""
            elif len(document) == 2 and type(document["id"]) is str:
                request_id = document["id"]
            else:
                return None
            columns: dict[str, Array] = {}
            rows = 0
            for tensor in tensors:
                name = tensor["name"]
                datatype, dtype, _, _, trailing = self._inputs[name]
                if tensor["datatype"] != datatype or len(tensor) != 4:
                    return None
                data = tensor["data"]
                packed = self._packer(datatype, len(data)).pack(*data)
                array = np.frombuffer(packed, dtype).reshape(tensor["shape"])
                if array.shape[1:] != trailing or not _is_shape(tensor["shape"]):
                    return None
                rows = array.shape[0]
                columns[name] = array
        except (KeyError, TypeError, ValueError, OverflowError, struct.error):
            return None
        return self._whole(columns, rows, request_id, len(tensors))

    def _packer(self, datatype: str, count: int) -> struct.Struct:
        packer = self._packers.get((datatype, count))
        if packer is None:
            if len(self._packers) >= PACKERS:
                self._packers.clear()
            packer = self._packers[datatype, count] = struct.Struct(f"<{count}{_LETTERS[datatype]}")
        return packer

    def _whole(self, columns: dict[str, Array], rows: int, request_id: str, tensors: int) -> tuple[Batch, str] | None:
        """The batch, if every input came, once, with as many rows as the others."""
        if len(columns) != len(self._inputs) or tensors != len(columns):
            return None
        if len(columns) > 1 and any(len(array) != rows for array in columns.values()):
            return None
        return Batch(columns, rows), request_id

    def _read_long(self, body: bytes) -> tuple[Batch, str] | None:
        if b'"parameters"' in body or b'"outputs"' in body:
            return None
        document: Any = None
        tensors: Any = None
        tensor: Any = None
        data: Any = None
        columns: dict[str, Array] = {}
        rows = count = 0
        request_id: Any = ""
        try:
            document = self._parser.parse(body)
            tensors = document["inputs"]
            # As many brackets as flat data has, and no more: simdjson would flatten what is nested or ragged.
            count = len(tensors)
            if body.count(b"[") != 1 + 2 * count:
                return None
            for tensor in tensors:
                name = tensor["name"]
                datatype, dtype, kind, source, trailing = self._inputs[name]
                if tensor["datatype"] != datatype:
                    return None
                shape = tensor["shape"].as_list()
                data = tensor["data"]
                flat = np.frombuffer(data.as_buffer(of_type=kind), source)
                if kind == "i":
                    array = from_numbers(flat, datatype, tuple(shape))
                elif flat.dot(flat) < EXACT_IN_FLOAT32:
                    array = flat.astype(dtype).reshape(shape)
                else:
                    return None
                if array.shape[1:] != trailing or not _is_shape(shape):
                    return None
                rows = array.shape[0]
                columns[name] = array
            if b'"id"' in body:
                request_id = document["id"]
        except (KeyError, TypeError, ValueError, RuntimeError):
            return None
        finally:
            # The parser can be used again only when nothing of the last document is held.
            document = tensors = tensor = data = None
        return self._whole(columns, rows, request_id, count) if type(request_id) is str else None


def _is_shape(shape: list[Any]) -> bool:
    """Whole numbers, 0 or more: numpy would also take -1 (as many as there are) and true (as 1)."""
    return set(map(type, shape)) == _INT and min(shape) >= 0
