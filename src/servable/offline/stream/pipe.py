"""The port: where messages come from, and where their answers go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Received(NamedTuple):
    """A message: its id, the same however often it comes, its body, and what the pipe needs to acknowledge it."""

    id: str
    body: bytes
    receipt: Any = None


class Pipe(Protocol):
    """One caller at a time. Methods raise Unavailable where the broker is away."""

    def take(self, most: int) -> list[Received] | None:
        """The next messages: what is there, after a short wait for the first. None: there will be no more.

        Those that were taken before a crash and not answered come first.
        """
        ...

    def answer(self, received: Sequence[Received], answers: Sequence[bytes]) -> None:
        """Hand over an answer for each, and acknowledge them: both are done when this returns.

        Who dies in between has them come again; the broker drops an answer that is there already, where it can.
        """
        ...

    def close(self) -> None:
        """Hang up."""
        ...
