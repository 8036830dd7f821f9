"""What changed from one state to the next: the next one comes back to the bit, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from servable.errors import CorruptModel
from servable.online.fleet.difference import BLOCK, checked, difference, digest, patched

CHANCE = np.random.default_rng(3)


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 40 * BLOCK + 7])
@pytest.mark.parametrize("before", [0, 1, BLOCK, 40 * BLOCK + 7, 50 * BLOCK])
def test_the_next_state_comes_back(before: int, length: int) -> None:
    old = CHANCE.bytes(before)
    new = bytearray(old[:length].ljust(length, b"."))
    for place in CHANCE.integers(0, max(length, 1), 5).tolist():
        new[place : place + 1] = b"!"[: length - place]
    assert patched(old, difference(old, bytes(new)), digest(bytes(new))) == bytes(new)


def test_only_blocks_that_changed_are_told() -> None:
    old = CHANCE.bytes(1000 * BLOCK)
    new = bytearray(old)
    new[5], new[700 * BLOCK] = new[5] ^ 1, new[700 * BLOCK] ^ 1
    assert 2 * BLOCK < len(difference(old, bytes(new))) < 3 * BLOCK


def test_a_state_from_another_one_is_refused() -> None:
    old, new = CHANCE.bytes(3 * BLOCK), CHANCE.bytes(BLOCK)
    told = difference(old, old[:BLOCK] + new + old[2 * BLOCK :])
    with pytest.raises(CorruptModel, match="digest does not match"):
        patched(new * 3, told, digest(old))
    with pytest.raises(CorruptModel, match="digest does not match"):
        checked(new, digest(old))
