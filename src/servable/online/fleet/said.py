"""What the keeper of a shared learner and its process say to each other, in frames beside those of doors.

To the process that learns, the keeper is one more door: it watches, and brings the lessons of other machines as
`messages.TEACH`. To a process that does not, it is the way to the one that does. All is in the bodies of frames.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from servable.domain.problem import Problem
from servable.wire.frames import UNREADABLE, BadFrame

KEEP: Final = 64
"""Keeper to process: this connection is the keeper's."""
FOLLOW: Final = 65
"""Keeper to process: a state from elsewhere, a State."""
REPORT: Final = 66
"""Keeper to process: how learning goes elsewhere; a JSON object."""
LEAD: Final = 67
"""Keeper to process: learn; a Lead."""
YIELD: Final = 68
"""Keeper to process: another machine learns."""
DONE: Final = 69
"""Keeper to process: what became of the APPEND or READ of this number; a Done."""
ANSWERED: Final = 70
"""Keeper to process: what became of the lessons of this number, a list of `messages.Taken`."""
END: Final = 71
"""Keeper to process: learn no more. A SNAPSHOT of what is not in one yet comes back, then STANDS."""
APPEND: Final = 80
"""Process to keeper: put into the journal; an Append."""
READ: Final = 81
"""Process to keeper: a page of the journal; a Read."""
SNAPSHOT: Final = 82
"""Process to keeper: keep this; its number is the offset."""
STANDS: Final = 83
"""Process to keeper: it learns from now on, or why it does not; a Done."""


class State(msgspec.Struct, frozen=True, array_like=True):
    """What answers, at an offset."""

    offset: int
    learned: int
    state: bytes


class Lead(msgspec.Struct, frozen=True, array_like=True):
    """Where the journal stands; the newest snapshot, or nothing."""

    offset: int
    snapshot: bytes


class Written(msgspec.Struct, frozen=True, array_like=True):
    """An event of the journal: the examples before it and after it, when it came, its bytes. `place` is its own among
    all events.
    """

    offset: int
    after: int
    time: float
    body: bytes
    place: int = 0


class Append(msgspec.Struct, frozen=True, array_like=True):
    """Events for the journal, which stands at `expected`."""

    expected: int
    events: list[Written]


class Read(msgspec.Struct, frozen=True, array_like=True):
    """A page of the events behind a place: those with examples from offset `first` on, and all without any that came
    after `since`, in seconds since the epoch.
    """

    first: int
    since: float
    place: int


class Done(msgspec.Struct, frozen=True, array_like=True):
    """A page, if one was asked for; or why nothing was done."""

    page: list[Written] = []
    problem: Problem | None = None


S = TypeVar("S")

encode = msgspec.msgpack.Encoder().encode


def read(data: bytes | memoryview, kind: type[S]) -> S:
    """One of the above. Raises BadFrame."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except UNREADABLE as error:
        raise BadFrame(f"what cannot be read: {error}") from error
