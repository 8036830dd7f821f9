"""Tensors as JSON: how a bundle's own files (golden rows, reference sample) write arrays down, data only.

A tensor is `{"datatype", "shape", "data"}`. NaN and infinities are written as text, a missing text as null, and bytes
that are not UTF-8 as `{"b64": ...}`.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.domain.datatypes import DTYPES, FLOATS, datatype_of


class Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """One array. `array()` raises ValueError, TypeError or KeyError for one that was not written by `tensor`."""

    datatype: str
    shape: tuple[int, ...]
    data: list[Any]

    def array(self) -> Array:
        """As it was, of the dtype that holds its datatype."""
        dtype = DTYPES[self.datatype]
        if self.datatype in FLOATS:
            return np.array([float(value) for value in self.data], dtype).reshape(self.shape)
        if self.datatype == "BYTES":
            array = np.empty(len(self.data), object)
            array[:] = [_from_text(value) for value in self.data]
            return array.reshape(self.shape)
        return np.array(self.data, dtype).reshape(self.shape)


def tensor(array: Array) -> Tensor:
    """An array, to be written. Equal arrays are written as equal bytes."""
    values = array.ravel()
    datatype = datatype_of(array.dtype)
    if datatype in FLOATS:
        data = [value if math.isfinite(value) else str(value) for value in values.astype(np.float64).tolist()]
    elif datatype == "BYTES":
        data = [_text(value) for value in values.tolist()]
    else:
        data = values.tolist()
    return Tensor(datatype, array.shape, data)


def _text(value: Any) -> Any:
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _from_text(value: Any) -> Any:
    return base64.b64decode(value["b64"], validate=True) if isinstance(value, dict) else value
