"""FlatJson: the common V2 body, read fast: each input's data a flat list of numbers, and nothing but an id beside.

A SIMD parser gives the numbers as one buffer: no Python object a number. Whatever is not of this form, or not good, is
left to the general way in `open_inference.py`, which tells every fault.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np
import simdjson

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS, INTEGERS
from servable.domain.signature import Signature
from servable.wire.tensors import EXACT_IN_FLOAT32, from_numbers

SIMD_FROM_BYTES: Final = 200
"""From this length on simdjson is faster than orjson and a conversion."""

_INT: Final = {int}
_PLAIN: Final = INTEGERS | {"FP32", "FP64"}


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
        self._parser = simdjson.Parser()

    @staticmethod
    def of(signature: Signature) -> FlatJson | None:
        """A reader, if all inputs are plain: numbers with no limits, of a fixed size past the rows."""
        inputs = {}
        for field in signature.inputs:
            limited = field.low is not None or field.high is not None or field.categories
            if not signature.batched or field.datatype not in _PLAIN or limited or -1 in field.shape[1:]:
                return None
            source = np.dtype(np.float64 if field.datatype in FLOATS else np.int64)
            kind: Literal["d", "i"] = "d" if field.datatype in FLOATS else "i"
            inputs[field.name] = _Plain(field.datatype, field.dtype, kind, source, field.shape[1:])
        return FlatJson(inputs)

    def read(self, body: bytes) -> tuple[Batch, str] | None:
        """The batch and the id (empty if none came) of a body that is all right; else None."""
        if b'"parameters"' in body or b'"outputs"' in body:
            return None
        document: Any = None
        tensors: Any = None
        tensor: Any = None
        data: Any = None
        columns: dict[str, Array] = {}
        rows = 0
        request_id: Any = ""
        try:
            document = self._parser.parse(body)
            tensors = document["inputs"]
            # As many brackets as flat data has, and no more: simdjson would flatten what is nested or ragged.
            if body.count(b"[") != 1 + 2 * len(tensors) or len(tensors) != len(self._inputs):
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
                # numpy would also take -1 (as many as there are) and true (as 1) in a shape.
                if array.shape[1:] != trailing or name in columns or set(map(type, shape)) != _INT or min(shape) < 0:
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
        if type(request_id) is not str or (len(columns) > 1 and any(len(array) != rows for array in columns.values())):
            return None
        return Batch(columns, rows), request_id
