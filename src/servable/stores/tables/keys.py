"""Keys: what rows are asked for by, as bytes. Integers are kept so that their order is that of their bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from servable.domain.batch import Array
from servable.errors import InvalidInput
from servable.stores.tables.generation import KeyKind
from servable.stores.tables.port import MAX_KEY_BYTES

SIGN = 1 << 63


def packed(values: Array) -> Array | list[bytes]:
    """A column of keys, int64 or texts, without a missing one: of numbers 8 bytes each, in one array."""
    if values.dtype.kind == "i":
        return (values.astype(np.int64).view(np.uint64) ^ np.uint64(SIGN)).astype(">u8").view("V8")
    return [value.encode("utf-8", "surrogatepass") for value in values.tolist()]


def encode(values: Array) -> list[bytes]:
    """The same, each by itself.

    >>> encode(np.array([-1, 2])) < encode(np.array([2, 2]))
    True
    """
    found = packed(values)
    return found if isinstance(found, list) else list(found.tolist())


def encode_one(value: Any, kind: KeyKind) -> bytes:
    """One key, as a person or a program wrote it. Raises InvalidInput that says what is expected."""
    if kind == "integer":
        try:
            number = int(value) if isinstance(value, str) or type(value) is int else None
        except ValueError:
            number = None
        if number is None or not -SIGN <= number < SIGN:
            raise InvalidInput(f"the key: expected a whole number of 64 bits, got {value!r:.80}")
        return (number + SIGN).to_bytes(8, "big")
    if not isinstance(value, str):
        raise InvalidInput(f"the key: expected a text, got {value!r:.80}")
    key = value.encode("utf-8", "surrogatepass")
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise InvalidInput(f"the key: expected 1 to {MAX_KEY_BYTES} bytes, got {len(key)}")
    return key


def decode(key: bytes, kind: KeyKind) -> int | str:
    """The key as it was given.

    >>> decode(encode_one("-7", "integer"), "integer")
    -7
    """
    return int.from_bytes(key, "big") - SIGN if kind == "integer" else key.decode("utf-8", "surrogatepass")


def encode_all(values: list[Any], kind: KeyKind) -> list[bytes]:
    """Many keys, as they were written. Raises InvalidInput for the first that is none."""
    if kind == "integer" and set(map(type, values)) == {int}:
        try:
            return encode(np.array(values, np.int64))
        except OverflowError:
            pass  # one of them: the other way tells which
    return [encode_one(value, kind) for value in values]
