"""Log: where states pass from the machine that learns to the others: PostgreSQL, Redis or NATS, one file each.

It may forget: what is in it can be made again from the journal, and is, whenever the machine that learns publishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import msgspec

BEGIN = ""
"""The place before all."""

Listen = Callable[[Callable[[], bool], float], Iterator[bool]]
"""Given what tells that it is over, and seconds: yields whether something has changed, at least once in so many; for a
thread of its own.
"""


class State(NamedTuple):
    """A learner's state at an offset, and how many examples had an effect until there."""

    offset: int
    learned: int
    body: bytes


class Told(msgspec.Struct, frozen=True, array_like=True):
    """A state as it goes over: its `body` is all of it, or, where it is not `whole`, what changed since the one before
    it. The `digest` is that of the state.
    """

    offset: int
    learned: int
    whole: bool
    digest: bytes
    body: bytes


class Log(Protocol):
    """Of one learner. All may block, and raise EnvironmentFault."""

    listen: Listen | None
    """None: what rings for the other tables of the learner rings for it too."""

    def put(self, epoch: int, told: Told, after: str) -> str | None:
        """Add one behind the one at the place `after`: its own place. A whole one makes all before it of no use, and
        goes behind anything; None: this one is not whole, and something else stands last. Raises Conflict where another
        machine is known to learn by now.
        """
        ...

    def since(self, place: str) -> list[tuple[str, Told]]:
        """Those behind a place that are still there, each with its own, in order; all, where that place is gone."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...
