"""One tensor's values: JSON data and raw bytes to a numpy array and back. The rules for every protocol that has
tensors.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import orjson

from servable.domain.batch import Array
from servable.domain.datatypes import DTYPES, FLOATS, INTEGERS, datatype_of
from servable.domain.field import all_finite
from servable.errors import ModelFailed

_LENGTH: Final = struct.Struct("<I")
MAX_AXES: Final = 32
"""No tensor has more axes: numpy stops at 64, and before its second version at 32."""
EXACT_IN_FLOAT32: Final = 1e76
"""If the squares of some numbers add up to less, each of them is finite and fits a 32-bit float (3.4e38 squared is
1.2e77)."""


class BadTensor(ValueError):
    """Values that are not what the tensor says: `expected` and `got`, for the fault that the caller names."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


def size_of(shape: Iterable[int]) -> int:
    """The number of values in a shape, in Python's integers: no overflow."""
    size = 1
    for length in shape:
        size *= length
    return size


def checked_shape(shape: Any, max_elements: int) -> tuple[int, ...]:
    """The shape as a tuple of whole numbers >= 0, no more than `max_elements` values together."""
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        raise BadTensor("'shape' to be a list of whole numbers, 0 or more", f"{shape!r:.80}")
    if len(shape) > MAX_AXES:
        raise BadTensor(f"at most {MAX_AXES} axes", f"{len(shape)}")
    if size_of(max(length, 1) for length in shape) > max_elements:
        raise BadTensor(f"at most {max_elements} values", f"shape {shape!r:.80}")
    return tuple(shape)


def from_numbers(flat: Array, datatype: str, shape: tuple[int, ...]) -> Array:
    """A flat array of float64, int64 or uint64, as a JSON parser gives it, to `datatype` and `shape`, nothing lost
    silently.
    """
    if flat.size != size_of(shape):
        raise BadTensor(f"{size_of(shape)} values for shape {list(shape)}", f"{flat.size} values")
    dtype = DTYPES[datatype]
    if datatype in FLOATS:
        # vdot, since dot warns of what is too large, which is told below.
        if datatype == "FP32" and flat.dtype.kind == "f" and np.vdot(flat, flat) < EXACT_IN_FLOAT32:
            return flat.astype(dtype).reshape(shape)
        with np.errstate(over="ignore"):
            array = flat.astype(dtype)
        if not all_finite(array) and bool((np.isinf(array) & np.isfinite(flat)).any()):
            worst = flat[np.isinf(array)][0]
            raise BadTensor(f"numbers that fit {datatype} (up to {np.finfo(dtype).max:g})", f"{worst:g}")
        return array.reshape(shape)
    if datatype in INTEGERS and flat.dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if flat.size and (int(flat.max()) > limits.max or int(flat.min()) < limits.min):
            worst = flat.max() if int(flat.max()) > limits.max else flat.min()
            raise BadTensor(f"whole numbers that fit {datatype} ({limits.min} to {limits.max})", str(worst))
        return flat.astype(dtype).reshape(shape)
    raise BadTensor(f"values of {datatype}", "fractions" if flat.dtype.kind == "f" else "numbers")


def from_json(data: Any, datatype: str, shape: tuple[int, ...]) -> Array:
    """JSON values, nested like `shape` or flat, to an array. `null` is missing: NaN for floats, None for BYTES."""
    if datatype == "BYTES":
        return _shaped(_text(data), shape)
    try:
        array = np.array(data)
    except ValueError as error:
        raise BadTensor(f"values nested as shape {list(shape)}", "lists of different lengths") from error
    except OverflowError as error:
        raise BadTensor(f"numbers that fit {datatype}", "a number of more than 64 bits") from error
    array = _shaped(array, shape)
    kind = array.dtype.kind
    if datatype == "BOOL":
        if kind == "b" or not array.size:
            return array.astype(np.bool_)
        raise BadTensor("true and false", _kind(array))
    if not array.size:
        return np.empty(shape, DTYPES[datatype])
    if kind == "O" and datatype in FLOATS:
        return from_numbers(_with_missing(array).ravel(), datatype, shape)
    if kind == "f" and datatype == "UINT64":
        # numpy makes floats of whole numbers on both sides of 2^63.
        whole = np.array(data, object).ravel()
        if set(map(type, whole)) == {int} and min(whole) >= 0:
            return whole.astype(np.uint64).reshape(shape)
    if kind in "iuf":
        return from_numbers(array.ravel(), datatype, shape)
    raise BadTensor(f"numbers for {datatype}", _kind(array))


def from_raw(raw: memoryview, datatype: str, shape: tuple[int, ...]) -> Array:
    """Little-endian bytes to an array (a read-only view of `raw`; BYTES: each value after its 4-byte length)."""
    dtype = DTYPES[datatype]
    size = size_of(shape)
    if datatype == "BYTES":
        texts: Array = np.array([*_lengths(raw, size), None], object)[:-1]
        return texts.reshape(shape)
    if len(raw) != size * dtype.itemsize:
        raise BadTensor(f"{size * dtype.itemsize} bytes for {datatype} {list(shape)}", f"{len(raw)} bytes")
    if datatype == "BOOL":
        flat: Array = np.frombuffer(raw, np.uint8) != 0
    else:
        flat = np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype, copy=False)
    return flat.reshape(shape)


def to_raw(array: Array) -> bytes:
    """An array as the protocol's little-endian bytes. Missing text becomes empty text."""
    if array.dtype != object:
        return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    parts: list[bytes] = []
    for value in array.ravel():
        encoded = value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


def to_json(name: str, array: Array, *, missing: bool) -> bytes:
    """The values, flat and row-major, as a JSON array. NaN becomes null where `missing` values are part of the
    contract.

    Raises ModelFailed for a value that JSON cannot hold, naming the output and the way out.
    """
    flat = array.ravel()
    if flat.dtype == object:
        try:
            return orjson.dumps([value if value is None else _str(value) for value in flat])
        except UnicodeDecodeError as error:
            raise ModelFailed(
                f"output {name!r} holds bytes that are not text, which JSON cannot carry: ask for it as binary data"
            ) from error
    if not flat.flags.c_contiguous or not flat.dtype.isnative:
        flat = np.ascontiguousarray(flat, flat.dtype.newbyteorder("="))
    data = orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)
    # orjson writes what JSON lacks as null: looking for that is cheaper than looking at the numbers first.
    if b"null" in data and not (missing and not np.isinf(flat).any()):
        value = flat[~np.isfinite(flat)][0]
        raise ModelFailed(
            f"output {name!r} holds {value}, which JSON cannot carry: ask for it as binary data, or declare the output "
            'with values = "missing" to get null',
            output=name,
        )
    return data


def _str(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _shaped(array: Array, shape: tuple[int, ...]) -> Array:
    """The array if it has the shape, or is flat and fits it."""
    if array.shape == shape:
        return array
    if array.ndim == 1 and array.size == size_of(shape):
        return array.reshape(shape)
    if array.size == size_of(shape) == 0:
        return array.reshape(shape)
    if array.ndim <= 1:
        raise BadTensor(f"{size_of(shape)} values for shape {list(shape)}", f"{array.size} values")
    raise BadTensor(f"values nested as shape {list(shape)}, or flat", f"nested as {list(array.shape)}")


def _text(data: Any) -> Array:
    """Nested or flat lists of strings and nulls to an object array of the lists' own shape."""
    if not isinstance(data, list):
        raise BadTensor("a list of strings", _kind_of(data))
    shape: list[int] = []
    level: list[Any] = data
    while True:
        shape.append(len(level) // max(size_of(shape), 1) if shape else len(level))
        lists = [isinstance(value, list) for value in level]
        if not level or not any(lists):
            break
        if not all(lists) or len({len(value) for value in level}) != 1:
            raise BadTensor("strings in lists of equal lengths", "lists of different lengths")
        level = [value for part in level for value in part]
    array = np.empty(len(level), object)
    array[:] = level
    for value in level:
        if value is not None and not isinstance(value, (str, bytes)):
            raise BadTensor("strings", _kind_of(value))
    return array.reshape(shape)


def _with_missing(array: Array) -> Array:
    """An object array of numbers and None to float64 with NaN. Anything else among them is a fault."""
    for value in array.ravel():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise BadTensor("numbers or null", _kind_of(value))
    return array.astype(np.float64)


def _lengths(raw: memoryview, size: int) -> Iterable[str | bytes]:
    position = 0
    end = len(raw)
    for index in range(size):
        if position + 4 > end:
            raise BadTensor(f"{size} length-prefixed values", f"the bytes of {index}")
        (length,) = _LENGTH.unpack_from(raw, position)
        position += 4
        if position + length > end:
            raise BadTensor(f"{length} bytes for value {index}", f"{end - position} bytes")
        value = bytes(raw[position : position + length])
        position += length
        try:
            yield value.decode()
        except UnicodeDecodeError:
            yield value
    if position != end:
        raise BadTensor(f"{position} bytes for {size} values", f"{end} bytes")


def _kind(array: Array) -> str:
    if array.dtype == object:
        return _kind_of(next((value for value in array.ravel() if not isinstance(value, (int, float))), None))
    return {"U": "text", "b": "true and false", "f": "numbers", "i": "numbers", "u": "numbers"}.get(
        array.dtype.kind, datatype_of(array.dtype)
    )


def _kind_of(value: object) -> str:
    names = {dict: "an object", str: "text", bool: "true or false", list: "a list", type(None): "null"}
    return names.get(type(value), "a number")
