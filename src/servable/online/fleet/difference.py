"""Difference: what changed from one state to the next, in blocks, and the next state from it. Pure functions.

A state is bytes of which learning changes some: the weights of the features that were seen. Blocks that are equal are
left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

import msgspec

from servable.errors import CorruptModel

BLOCK: Final = 1024


class _Difference(msgspec.Struct, array_like=True):
    length: int
    places: list[int]
    blocks: list[bytes]


def digest(state: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(state).digest()


def difference(old: bytes, new: bytes) -> bytes:
    """What `patched` makes `new` from, given `old`.

    >>> old, new = bytes(5000), bytes(2000) + b"x" + bytes(2999)
    >>> len(difference(old, new)), patched(old, difference(old, new), digest(new)) == new
    (1034, True)
    """
    ours, theirs = memoryview(new), memoryview(old)
    changed = [at for at in _starts(len(new)) if ours[at : at + BLOCK] != theirs[at : at + BLOCK]]
    blocks = [bytes(ours[at : at + BLOCK]) for at in changed]
    return msgspec.msgpack.encode(_Difference(len(new), [at // BLOCK for at in changed], blocks))


def patched(old: bytes, told: bytes, expected: bytes) -> bytes:
    """The state that was told. Raises CorruptModel if it does not have the expected digest."""
    found = msgspec.msgpack.decode(told, type=_Difference)
    state = bytearray(old[: found.length].ljust(found.length, b"\0"))
    for place, block in zip(found.places, found.blocks, strict=True):
        state[place * BLOCK : place * BLOCK + len(block)] = block
    return checked(bytes(state), expected)


def checked(state: bytes, expected: bytes) -> bytes:
    """The state, if it has this digest. Raises CorruptModel."""
    if digest(state) != expected:
        raise CorruptModel("a state that another machine published is damaged: its digest does not match")
    return state


def _starts(length: int) -> Iterator[int]:
    return iter(range(0, length, BLOCK))
