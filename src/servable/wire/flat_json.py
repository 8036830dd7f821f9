"""FlatJson: the common V2 body, read fast: each input's data a flat list of numbers, and nothing but an id beside.

Short lists go through `struct`, which checks types and ranges while it packs; long ones through a SIMD parser, which
gives the numbers as one buffer. Whatever is not of this form, or not good, is left to the general way in
`open_inference.py`, which tells every fault.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
import orjson
import simdjson

from servable.domain.batch import Array, Batch
from servable.domain.signature import Signature
from servable.wire.known_bodies import KnownBodies
from servable.wire.numbers import SIMD_FROM_BYTES, Plain, from_simd, plain

PACKERS: Final = 1024

_INT: Final = {int}


class FlatJson:
    """A reader for one signature. Keeps its parser, so it is for one thread."""

    def __init__(self, inputs: dict[str, Plain]) -> None:
        self._inputs = inputs
        self._known = KnownBodies()
        self._packers: dict[tuple[str, int], struct.Struct] = {}
        self._parser = simdjson.Parser()

    @staticmethod
    def of(signature: Signature) -> FlatJson | None:
        """A reader, if all inputs are plain: numbers with no limits, of a fixed size past the rows."""
        inputs = {field.name: plain(field) for field in signature.inputs}
        found = {name: one for name, one in inputs.items() if one is not None}
        return FlatJson(found) if signature.batched and len(found) == len(inputs) else None

    def read(self, body: bytes) -> tuple[Batch, str] | None:
        """The batch and the id (empty if none came) of a body that is all right; else None."""
        known = self._known.read(body)
        if known is not None:
            return known, ""
        found = self._read_short(body) if len(body) < SIMD_FROM_BYTES else self._read_long(body)
        if found is not None and len(self._inputs) == 1 and not found[1]:
            ((name, array),) = found[0].columns.items()
            self._known.remember(body, name, self._inputs[name], array)
        return found

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
                own = self._inputs[name]
                if tensor["datatype"] != own.datatype or len(tensor) != 4:
                    return None
                data = tensor["data"]
                packed = self._packer(own.letter, len(data)).pack(*data)
                array = np.frombuffer(packed, own.dtype).reshape(tensor["shape"])
                if array.shape[1:] != own.trailing or not _is_shape(tensor["shape"]):
                    return None
                rows = array.shape[0]
                columns[name] = array
        except (KeyError, TypeError, ValueError, OverflowError, struct.error):
            return None
        return self._whole(columns, rows, request_id, len(tensors))

    def _packer(self, letter: str, count: int) -> struct.Struct:
        packer = self._packers.get((letter, count))
        if packer is None:
            if len(self._packers) >= PACKERS:
                self._packers.clear()
            packer = self._packers[letter, count] = struct.Struct(f"={count}{letter}")
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
                own = self._inputs[name]
                if tensor["datatype"] != own.datatype:
                    return None
                shape = tensor["shape"].as_list()
                data = tensor["data"]
                array = from_simd(data, own, tuple(shape))
                if array.shape[1:] != own.trailing or not _is_shape(shape):
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
