"""Shared: the journal and the snapshots of a learner as its process has them, where the keeper holds them for all.

The process is in a sandbox and reaches no database: it asks the keeper, and waits. An append of which it does not know
whether it was done makes the journal `lost`: whoever learns from it begins again from what is there.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from servable.engine.process.serve import Door, Hangup
from servable.errors import IncompatibleModel, NotReady, ServableError
from servable.online.event import Event, decode, encode
from servable.online.fleet import said
from servable.online.journal import Entry
from servable.online.messages import frame
from servable.online.snapshots import Snapshot
from servable.wire.frames import BadFrame

AGAIN_S: Final = 0.5

logger = logging.getLogger("servable.online")


class Link:
    """The keeper's connection, from the process. What comes while an answer is waited for is kept in `later`."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.later: deque[tuple[int, int, memoryview]] = deque()
        self._number = 0

    def say(self, kind: int, number: int = 0, body: bytes = b"") -> None:
        """One frame. If the keeper is gone, its own socket will tell."""
        with contextlib.suppress(OSError):
            self.door.send([frame(kind, number, body=body)])

    def ask(self, kind: int, what: msgspec.Struct) -> list[said.Written]:
        """Have something done, and wait. Raises what the keeper says, NotReady if it says nothing in time."""
        self._number += 1
        try:
            self.door.send([frame(kind, self._number, body=said.encode(what))])
            done = self._done()
        except (OSError, Hangup, BadFrame) as error:
            with contextlib.suppress(OSError):  # half a frame may have come: nothing more is understood here
                self.door.sock.shutdown(socket.SHUT_RDWR)
            raise NotReady("the shared journal does not answer", retry_after_s=AGAIN_S) from error
        if done.problem is not None:
            raise done.problem.error()
        return done.page

    def _done(self) -> said.Done:
        while True:
            kind, number, _, _, body = self.door.receive()
            if kind != said.DONE:
                self.later.append((kind, number, body))
            elif number == self._number:
                return said.read(body, said.Done)


class SharedJournal:
    """Of a learner that is ours to teach. `offset` is that of the next example."""

    def __init__(self, link: Link, offset: int) -> None:
        self.offset = offset
        self.lost: ServableError | None = None
        """Why nothing can be appended any more."""
        self._link = link

    def append(self, events: Sequence[Event]) -> int:
        """Put events at the end, all of them; the offset of the first. Raises NotReady: then it is lost."""
        first = offset = self.offset
        written = []
        for event in events:
            written.append(said.Written(offset, offset + event.rows, event.time, encode(event)))
            offset += event.rows
        try:
            if self.lost is not None:
                raise self.lost
            self._link.ask(said.APPEND, said.Append(first, written))
        except ServableError as error:
            self.lost = error
            raise NotReady(f"{error.message}: send it again", retry_after_s=AGAIN_S) from error
        self.offset = offset
        return first

    def read(self, start: int, since: float) -> Iterator[Entry]:
        """The events with examples from offset `start` on, and all without any that came after `since`."""
        place = 0
        while page := self._link.ask(said.READ, said.Read(start, since, place)):
            for one in page:
                yield Entry(one.offset, decode(one.body))
            place = page[-1].place

    def close(self) -> None:
        """Nothing is held here."""


class SharedSnapshots:
    """Snapshots: the one to begin with is here already, new ones go to the keeper."""

    def __init__(self, link: Link, newest: bytes) -> None:
        self._link = link
        self._newest = newest

    def put(self, snapshot: Snapshot) -> None:
        """Have one kept. The keeper writes one after another, the newest first, and says nothing of it."""
        self._link.say(said.SNAPSHOT, snapshot.state.offset, said.encode(snapshot))

    def newest(self, libraries: Mapping[str, str]) -> Snapshot | None:
        """The one to begin with, or None. Raises IncompatibleModel if other versions of libraries made it."""
        if not self._newest:
            return None
        found = said.read(self._newest, Snapshot)
        if found.foreign:
            logger.warning("%s; the whole journal is taken", found.foreign)
            return None
        if found.libraries != dict(libraries):
            raise IncompatibleModel(
                f"the snapshot at offset {found.state.offset} was made with {found.libraries}, here are "
                f"{dict(libraries)}: machines that share a learner need the same versions"
            )
        return found
