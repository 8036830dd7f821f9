"""What a door and the process of a learner say to each other, in frames of their own beside those of predictions.

A door teaches; the process tells what it took (on the disk by then), and, as it learns, how far it has come.
"""

from __future__ import annotations

from typing import Final

import msgspec

from servable.domain.problem import Problem
from servable.online.event import Column
from servable.wire.frames import HEADER

TEACH: Final = 32
"""Door to process: its body is a list of Lessons. A TAUGHT with its number comes back."""
WATCH: Final = 33
"""Door to process: tell me of every state from now on."""
ASK: Final = 34
"""Door to process: how does learning go? A TOLD with its number comes back."""
TAUGHT: Final = 48
"""Process to door: its head is a list of Taken, one for each lesson, in order."""
LEARNED: Final = 49
"""Process to door: its head is a Progress; its body the learner's state, where doors answer themselves."""
TOLD: Final = 50
"""Process to door: its body is a JSON object."""

STANDING: Final = 51
"""Process to door, to each that watches: how learning goes now; its body is a JSON object."""


class Examples(msgspec.Struct, frozen=True, array_like=True, tag="examples"):
    """Rows with their outcomes. `ids`: one a row."""

    source: str
    ids: tuple[str, ...]
    columns: tuple[Column, ...]
    outcomes: Column


class Outcomes(msgspec.Struct, frozen=True, array_like=True, tag="outcomes"):
    """Outcomes of predictions, by their ids; `versions` count corrections."""

    source: str
    ids: tuple[str, ...]
    versions: tuple[int, ...]
    outcomes: Column


class Asked(msgspec.Struct, frozen=True, array_like=True, tag="asked"):
    """Rows that were predicted, whose outcomes may come, and what was answered."""

    ids: tuple[str, ...]
    columns: tuple[Column, ...]
    answers: Column | None = None


Lesson = Examples | Outcomes | Asked


class Taken(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What became of a lesson: the offset after its last example, how many were taken, the ids that are not known; or
    why none was.
    """

    offset: int = 0
    taken: int = 0
    unknown: tuple[str, ...] = ()
    problem: Problem | None = None


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far the learner has come: examples of the journal that are in its state, and those that had an effect."""

    offset: int
    learned: int


encode = msgspec.msgpack.Encoder().encode
lessons = msgspec.msgpack.Decoder(list[Lesson]).decode
taken = msgspec.msgpack.Decoder(list[Taken]).decode
progress = msgspec.msgpack.Decoder(Progress).decode


def frame(kind: int, number: int, head: bytes = b"", body: bytes = b"") -> bytes:
    """One frame."""
    return HEADER.pack(kind, len(head), len(body), number, 0.0) + head + body
