"""Exchange: a request that the fast protocol answers, its place in the order of answers, and its answer as HTTP/1.1."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from servable.engine.request import Request
from servable.server.http.infer import JSON, Answer
from servable.server.http.shortcut import Found

_STATUS_LINES: Final = {s.value: b"HTTP/1.1 %d %b\r\n" % (s.value, s.phrase.encode()) for s in HTTPStatus}


class Exchange:
    """`flush` is the connection's: it sends every answer whose turn has come."""

    __slots__ = ("_flush", "body", "keep_alive", "name", "reply", "request", "shortcut", "version")

    def __init__(
        self,
        flush: Callable[[], None],
        name: str,
        version: str | None,
        shortcut: Found | None = None,
    ) -> None:
        """A model that is asked; or, without a name, a `shortcut` that answers."""
        self._flush = flush
        self.name = name
        self.version = version
        self.shortcut = shortcut
        self.body: list[bytes] = []
        self.keep_alive = True
        self.request: Request | None = None
        self.reply: Answer | None = None

    def abandon(self) -> None:
        """Nobody waits any more: the connection is lost."""
        self._flush = _nothing
        if self.request is not None:
            self.request.cancel()

    def respond(self, answer: Answer) -> None:
        """The answer is here; it is sent when its turn has come."""
        self.request = None  # it refers to us: without this each answer would wait for the garbage collector
        self.reply = answer
        self._flush()


def _nothing() -> None:
    return


def render(answer: Answer, *, close: bool) -> bytes:
    """An HTTP/1.1 response."""
    status, body, content_type, headers = answer
    if status == 200 and not headers and content_type is JSON and not close:
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    lines = [_STATUS_LINES[status], b"content-type: %b\r\ncontent-length: %d\r\n" % (content_type, len(body))]
    lines += [b"%b: %b\r\n" % header for header in headers]
    if close:
        lines.append(b"connection: close\r\n")
    return b"".join((*lines, b"\r\n", body))
