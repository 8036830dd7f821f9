"""One request on an HTTP/2 connection and its answer; and what a service must offer to be reached by them."""

from __future__ import annotations

from time import monotonic
from typing import Any, Final, Protocol

from servable.server.http2.frames import CANCEL, window_update
from servable.server.http2.sending import Outgoing

STREAM_WINDOW: Final = 1024 * 1024
"""Bytes of a request's body that may come before any are acknowledged."""


class Receiver(Protocol):
    """What takes in one request. Called on the event loop; must not block."""

    def received(self, data: bytes) -> None:
        """Some of the body."""
        ...

    def ended(self) -> None:
        """All of the request has come."""
        ...

    def gone(self) -> None:
        """The caller, or the connection, is gone: nothing is to be answered any more."""
        ...

    def writable(self) -> None:
        """What waited, for the peer to take it, has left."""
        ...


class Service(Protocol):
    """What answers. `read_head` is pure, and its answer remembered; it raises ValueError for malformed headers."""

    def read_head(self, headers: list[tuple[bytes, bytes]]) -> Any: ...

    def open(self, stream: Stream, head: Any) -> Receiver: ...


class Nobody:
    """Receives what comes after the answer."""

    def received(self, data: bytes) -> None:
        """Ignore it."""

    def ended(self) -> None:
        """Ignore it."""

    def gone(self) -> None:
        """Ignore it."""

    def writable(self) -> None:
        """Ignore it."""


NOBODY: Final = Nobody()


class Owner(Protocol):
    """What a stream needs of its connection."""

    peer: str
    held_bytes: int

    def write(self, stream: Stream, headers: bytes | None, data: bytes, trailers: bytes | None) -> None: ...

    def send(self, frame: bytes) -> None: ...

    def drop(self, stream: Stream, code: int) -> None: ...


class Stream(Outgoing):
    """A request's body must be acknowledged by `credit`, else the peer may send no more of it."""

    __slots__ = (
        "_credit", "complete", "connection", "open", "received", "receiver", "since", "waits", "window_left",
    )  # fmt: skip

    def __init__(self, number: int, connection: Owner, window: int) -> None:
        super().__init__(number, window)
        self.connection = connection
        self.receiver: Receiver = NOBODY
        self.open = True
        self.complete = False
        """All of the request has come."""
        self.received = 0
        self.since = monotonic()
        """When the message that is being received began."""
        self.waits = True
        """More of a message that has begun is to come: it must come in time."""
        self.window_left = STREAM_WINDOW
        self._credit = 0

    def write(self, headers: bytes | None, data: bytes = b"", trailers: bytes | None = None) -> None:
        """Answer: a header block, data, and the block that ends the stream."""
        if self.open:
            self.connection.write(self, headers, data, trailers)

    def credit(self, size: int) -> None:
        """So much of the body is dealt with: the peer may send as much again."""
        self._credit += size
        if self._credit >= STREAM_WINDOW // 2 and self.open and not self.complete:
            self.window_left += self._credit
            self.connection.send(window_update(self.id, self._credit))
            self._credit = 0

    def reset(self, code: int = CANCEL) -> None:
        """End it at once, without an answer."""
        if self.open:
            self.connection.drop(self, code)
