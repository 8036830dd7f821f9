"""KnownBodies: JSON bodies in which all but the numbers has come before, byte for byte.

A client writes each request alike: its text up to the numbers and its text behind them repeat. That they name the one
input, its datatype and a shape that fits was found out once; the second time only the numbers are read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import orjson
import simdjson

from servable.domain.batch import Array, Batch
from servable.wire.numbers import SIMD_FROM_BYTES, Plain, from_simd

MEMORY: Final = 256
"""Bodies remembered, at the most."""
LONGEST_BYTES: Final = 1024
"""A longer text around the numbers is not remembered."""

_AT_DATA: Final = re.compile(rb'"data"[ \t\r\n]*:[ \t\r\n]*\Z')


class _Known(NamedTuple):
    name: str
    plain: Plain
    shape: tuple[int, ...]
    suffix: bytes
    pack: Callable[..., bytes]


class KnownBodies:
    """Those of one signature. Keeps its parser, so it is for one thread."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        self._parser = simdjson.Parser()

    def read(self, body: bytes) -> Batch | None:
        """The batch of a good body whose text is known around its last list; None for any other."""
        opening = body.rfind(b"[")
        known = self._known.get(body[:opening])
        if known is None:
            return None
        name, plain, shape, suffix, pack = known
        closing = body.find(b"]", opening)
        if body[closing:] != suffix:
            return None
        numbers = body[opening : closing + 1]
        try:
            if len(numbers) >= SIMD_FROM_BYTES:
                array = from_simd(self._parser.parse(numbers), plain, shape)
            elif b"t" in numbers or b"f" in numbers:  # `struct` would take true for 1
                return None
            else:
                array = np.ndarray(shape, plain.dtype, pack(*orjson.loads(numbers)))
        except (TypeError, ValueError, OverflowError, RuntimeError, struct.error):
            return None
        return Batch({name: array}, shape[0])

    def remember(self, body: bytes, name: str, plain: Plain, array: Array) -> None:
        """Keep the text of a body that was good: one input, its numbers flat, nothing beside it.

        Only where the numbers come last of all lists: what stands before the last bracket must end in `"data":`.
        """
        opening = body.rfind(b"[")
        head, suffix = body[:opening], body[body.find(b"]", opening) :]
        if len(head) + len(suffix) > LONGEST_BYTES or not _AT_DATA.search(head):
            return
        if len(self._known) >= MEMORY:
            self._known.clear()
        pack = struct.Struct(f"={array.size}{plain.letter}").pack
        self._known[head] = _Known(name, plain, array.shape, suffix, pack)
