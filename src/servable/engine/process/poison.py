"""Suspects: inputs that were being computed when a model process died. One that was so twice is not tried again.

No clock of its own: `now` is given.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

from servable.domain.batch import Batch

DEADLY: Final = 2
REMEMBERED: Final = 1024
FORGOTTEN_S: Final = 600.0
"""After this long an input gets another chance: what killed the process may have been the process."""


def digest(batch: Batch) -> bytes:
    """What tells one input from another: names, shapes and values."""
    hashed = blake2b(digest_size=16)
    for name, array in sorted(batch.columns.items()):
        hashed.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        hashed.update(repr(array.tolist()).encode() if array.dtype == object else array.tobytes())
    return hashed.digest()


class Suspects:
    """Deaths by input."""

    def __init__(self) -> None:
        self._deaths: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._deaths)

    def accuse(self, batch: Batch, now: float) -> bool:
        """The process died over this input. Whether it is deadly by now."""
        key = digest(batch)
        count = self._known(key, now) + 1
        self._deaths.pop(key, None)
        self._deaths[key] = (count, now)
        if len(self._deaths) > REMEMBERED:
            self._deaths.popitem(last=False)
        return count >= DEADLY

    def acquit(self, batch: Batch) -> None:
        """It was answered."""
        self._deaths.pop(digest(batch), None)

    def deadly(self, batch: Batch, now: float) -> bool:
        """Whether it must not be tried."""
        return bool(self._deaths) and self._known(digest(batch), now) >= DEADLY

    def _known(self, key: bytes, now: float) -> int:
        count, when = self._deaths.get(key, (0, now))
        return count if now - when < FORGOTTEN_S else 0
