"""Truth: what a learner's process needs of a journal and of snapshots, wherever these are: here, or shared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from servable.online.event import Event
from servable.online.journal import Entry
from servable.online.snapshots import Snapshot


class Truth(Protocol):
    """A journal that is open for writing: of this machine, or shared. `offset` is that of the next example."""

    offset: int

    def append(self, events: Sequence[Event]) -> int:
        """Put events at the end, all or none; the offset of the first. Raises Unavailable."""
        ...

    def read(self, start: int, since: float) -> Iterator[Entry]:
        """The events that hold examples from offset `start` on, and all without any that came after `since`; perhaps
        more before them.
        """
        ...

    def close(self) -> None:
        """Let another write."""
        ...


class Kept(Protocol):
    """Snapshots, where the journal is."""

    def put(self, snapshot: Snapshot) -> object:
        """Keep one. Raises Unavailable."""
        ...

    def newest(self, libraries: Mapping[str, str]) -> Snapshot | None:
        """The newest good one, or None. Raises IncompatibleModel."""
        ...
