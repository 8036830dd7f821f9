"""A keep-alive HTTP/1.1 connection for the generators: one request on its way, the answer handed to a callback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

import httptools

OnAnswer = Callable[["Connection", int, Mapping[str, str], bytes], None]


class Connection(asyncio.Protocol):
    """`send` one request; `on_answer(connection, status, headers, body)` is called when its answer is complete.

    `on_lost(connection, error)` is called if the server closes.
    """

    def __init__(self, on_answer: OnAnswer, on_lost: Callable[[Connection, Exception | None], None]) -> None:
        self.on_answer = on_answer
        self.on_lost = on_lost
        self.turn = 0
        self.sent_s = 0.0
        self.transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.on_lost(self, error)

    def send(self, request: bytes) -> None:
        """The connection must be idle."""
        self.parser = httptools.HttpResponseParser(self)
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.on_answer(self, self.parser.get_status_code(), self.headers, bytes(self.body))
