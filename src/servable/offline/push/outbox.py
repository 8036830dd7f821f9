"""The outbox of one table for one consumer: the changes that are due, how far they have been delivered, and what the
consumer refused. On disk, so that whoever dies goes on where the last delivery was acknowledged.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, Self

import msgspec

from servable.errors import Conflict
from servable.offline.push.message import Message
from servable.offline.whole import Whole, disk, write_whole

PUSH: Final = "offline/push"
DUE: Final = "due.jsonl"
DEAD: Final = "dead.jsonl"
AGAIN: Final = "again.jsonl"
CURSOR: Final = "cursor.json"


class Cursor(msgspec.Struct, frozen=True):
    """`delivered` is the generation that the consumer has in full; `under_way` the one whose changes are due, of which
    the bytes before `position` are delivered. `sent` and `refused` count all messages there ever were, `dead` those
    that are set aside now.
    """

    delivered: int | None = None
    under_way: int | None = None
    position: int = 0
    consumer: str = ""
    sent: int = 0
    refused: int = 0
    dead: int = 0


class Outbox:
    """Held by this process until `close`."""

    def __init__(self, home: Path, table: str, consumer: str) -> None:
        self.folder = home / PUSH / table / hashlib.sha256(consumer.encode()).hexdigest()[:16]
        with disk(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock: IO[bytes] = (self.folder / ".lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise Conflict(f"table {table!r} is being pushed there by another process") from error
        path = self.folder / CURSOR
        known = msgspec.json.decode(path.read_bytes(), type=Cursor) if path.exists() else Cursor()
        self.cursor = msgspec.structs.replace(known, consumer=place_of(consumer))

    def fill(self, generation: int, blocks: Iterable[list[Message]]) -> None:
        """Write all changes down, then turn to them. Who dies in between has turned to nothing."""
        with Whole(self.folder / DUE) as whole, disk(whole.path):
            with whole.begin().open("wb") as file:
                for block in blocks:
                    file.writelines(_line(message) for message in block)
            whole.finish()
        self._turn(msgspec.structs.replace(self.cursor, under_way=generation, position=0))

    def due(self, at_once: int) -> Iterator[list[Message]]:
        """What is left to deliver, in groups. After each, say `done`."""
        with (self.folder / DUE).open("rb") as file:
            file.seek(self.cursor.position)
            group: list[Message] = []
            self._ends: list[int] = []
            end = self.cursor.position
            for line in file:
                end += len(line)
                group.append(_message(line))
                if len(group) == at_once:
                    self._end = end
                    yield group
                    group = []
            if group:
                self._end = end
                yield group

    def done(self, sent: int) -> None:
        """The group that `due` gave last is with the consumer: so many messages, without those that it refused."""
        self._turn(msgspec.structs.replace(self.cursor, position=self._end, sent=self.cursor.sent + sent))

    def bury(self, messages: Sequence[Message], reason: str) -> None:
        """Set aside what the consumer refuses, on disk when this returns."""
        with disk(self.folder / DEAD), (self.folder / DEAD).open("ab") as file:
            for message in messages:
                line = {"reason": reason, "key": message.key, "message": msgspec.Raw(message.body)}
                file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        more = {"refused": self.cursor.refused + len(messages), "dead": self.cursor.dead + len(messages)}
        self.cursor = msgspec.structs.replace(self.cursor, **more)  # written down with the group

    def exhume(self) -> list[Any]:
        """The keys of all that was set aside, each once; it is kept beside until `rest`."""
        again, dead = self.folder / AGAIN, self.folder / DEAD
        lines = [line for path in (again, dead) if path.exists() for line in path.read_bytes().splitlines()]
        with Whole(again) as whole, disk(whole.path):
            whole.begin().write_bytes(b"".join([line + b"\n" for line in lines]))
            whole.finish()
        dead.unlink(missing_ok=True)
        self.cursor = msgspec.structs.replace(self.cursor, dead=0)
        return list(dict.fromkeys(msgspec.json.decode(line)["message"]["key"] for line in lines))

    def rest(self, sent: int) -> None:
        """All that `exhume` gave was offered again: so many messages were taken."""
        self._turn(msgspec.structs.replace(self.cursor, sent=self.cursor.sent + sent))
        (self.folder / AGAIN).unlink(missing_ok=True)

    def over(self) -> None:
        """All that was due is delivered."""
        self._turn(msgspec.structs.replace(self.cursor, delivered=self.cursor.under_way, under_way=None, position=0))
        (self.folder / DUE).unlink(missing_ok=True)

    def _turn(self, cursor: Cursor) -> None:
        write_whole(self.folder / CURSOR, msgspec.json.encode(cursor))
        self.cursor = cursor

    def close(self) -> None:
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def place_of(consumer: str) -> str:
    """A consumer's URL without what only it should know: user, password and query.

    >>> place_of("https://ada:secret@crm.example.com/scores?token=1")
    'https://crm.example.com/scores'
    """
    scheme, separator, rest = consumer.partition("://")
    if not separator:
        return consumer
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _line(message: Message) -> bytes:
    return msgspec.json.encode([message.id, message.key, base64.b64encode(message.body).decode()]) + b"\n"


def _message(line: bytes) -> Message:
    id, key, body = msgspec.json.decode(line, type=tuple[str, str, str])
    return Message(id, key, base64.b64decode(body))
