"""The HTTP door: uvicorn's own protocol, extended.

A request for an inference route never becomes an ASGI scope: it is answered here, by `Inference`, without a task.
Everything else is plain ASGI, and uvicorn's. What uvicorn lacks is added for both: limits on header, body and
connections, and receive, idle and write timeouts (kept by one sweep a second, not by a timer a request).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from http import HTTPStatus
from typing import Any, Final, NamedTuple, cast

import httptools
import orjson
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from servable.engine.request import Request
from servable.server.access.hosts import Hosts
from servable.server.http.infer import JSON, Answer, Asked, Inference, asked
from servable.settings import Settings

INFER: Final = re.compile(rb"/v2/models/([A-Za-z0-9][\w.-]{0,127})(?:/versions/([A-Za-z0-9][\w.-]{0,127}))?/infer")
KNOWN_URLS: Final = 4096
HEADS: Final = 1024
HEAD_BYTES: Final = 2048
"""How many heads of requests are remembered, and how long each may be."""
PIPELINED: Final = 64
"""Requests of one connection that may be under way at once; beyond, it is not read from."""

_STATUS_LINES: Final = {s.value: b"HTTP/1.1 %d %b\r\n" % (s.value, s.phrase.encode()) for s in HTTPStatus}

logger = logging.getLogger("servable.server")


class Head(NamedTuple):
    """A request's head that the parser has found good: what it asks, and how long the body behind it is."""

    name: str
    version: str | None
    asked: Asked
    length: int


class Exchange:
    """One inference request on a connection, and its place in the order of answers."""

    __slots__ = ("_connection", "body", "keep_alive", "name", "reply", "request", "version")

    def __init__(self, connection: DoorProtocol, name: str, version: str | None) -> None:
        self._connection = connection
        self.name = name
        self.version = version
        self.body: list[bytes] = []
        self.keep_alive = True
        self.request: Request | None = None
        self.reply: Answer | None = None

    def respond(self, answer: Answer) -> None:
        """The answer is here; it is sent when its turn has come."""
        self.request = None  # it refers to us: without this each answer would wait for the garbage collector
        self.reply = answer
        self._connection.flush()


class DoorState:
    """What all connections of a door share."""

    def __init__(self, inference: Inference, hosts: Hosts, settings: Settings) -> None:
        self.inference = inference
        self.hosts = hosts
        self.settings = settings
        self.draining = False
        self.urls: dict[bytes, tuple[str, str | None] | None] = {}
        self.heads: dict[bytes, Head] = {}
        """By their bytes. A client's requests begin alike, and what was parsed once need not be parsed again."""

    def route(self, url: bytes) -> tuple[str, str | None] | None:
        """The model and version of an inference URL; None for any other."""
        known = self.urls.get(url)
        if known is None and url not in self.urls:
            found = INFER.fullmatch(url)
            known = None
            if found:
                version = found[2].decode() if found[2] else None
                known = (found[1].decode(), version)
            if len(self.urls) >= KNOWN_URLS:
                self.urls.clear()
            self.urls[url] = known
        return known


class DoorProtocol(HttpToolsProtocol):
    """One connection. `functools.partial(DoorProtocol, state)` is what uvicorn takes as its `http`."""

    def __init__(
        self, door: DoorState, config: Config, server_state: ServerState, app_state: dict[str, Any], **more: Any
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, **more)
        self.door = door
        self._max_header = door.settings.max_header_bytes
        self._max_body = door.settings.max_body_bytes
        self._exchanges: deque[Exchange] = deque()
        self._receiving: Exchange | None = None
        self._header_bytes = 0
        self._body_bytes = 0
        self._since = 0.0
        """When the present phase began: a request being received, or the connection idle."""
        self._in_request = False
        self._refused = False
        self._fresh = b""
        """What came last, if a request begins with it."""
        self._unsent = (0, 0.0)

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.door.settings.max_connections:
            self.refuse(503, "too many connections: ask again", "overloaded")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for exchange in self._exchanges:
            if exchange.request is not None:
                exchange.request.cancel()
        self._exchanges.clear()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        if not self._in_request:
            self._since = self.loop.time()
            if self._answer_known(data):
                return
            self._fresh = data
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()
        except httptools.HttpParserError as error:
            if not self._refused:
                self.refuse(400, f"this is not HTTP/1.1 as it should be: {error}", "invalid_input")
        self._fresh = b""

    def _answer_known(self, data: bytes) -> bool:
        """Answer a whole request whose head has come before, byte for byte: the parser would find the same again.

        It stands between two messages then, and need not know of this one.
        """
        end = data.find(b"\r\n\r\n") + 4
        head = self.door.heads.get(data[:end])
        if head is None or len(data) != end + head.length or self.pipeline or self._ordinary_busy():
            return False
        self._ask(Exchange(self, head.name, head.version), head.asked, data[end:])
        return True

    def _remember(self, exchange: Exchange, asked: Asked, length: int) -> None:
        """Keep the head of a request that came alone, whole, and in one piece."""
        end = self._fresh.find(b"\r\n\r\n") + 4
        if len(self._fresh) != end + length or end > HEAD_BYTES or not exchange.keep_alive or self.expect_100_continue:
            return
        heads = self.door.heads
        if len(heads) >= HEADS:
            heads.clear()
        heads[self._fresh[:end]] = Head(exchange.name, exchange.version, asked, length)

    def shutdown(self) -> None:
        """The server is going: close once nothing is under way."""
        if self._exchanges or self._in_request:
            return
        super().shutdown()

    def sweep(self, now: float) -> None:
        """Once a second: close whoever sends too slowly, idles too long, or does not read."""
        settings = self.door.settings
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent[0]:
            self._unsent = (unsent, now)
        elif now - self._unsent[1] > settings.write_timeout_s:
            self.transport.abort()
            return
        waited = now - self._since
        if self._in_request:
            too_slow = self._body_bytes < settings.min_receive_rate * waited
            if waited > settings.receive_timeout_s and too_slow:
                self.refuse(
                    408, f"the request did not arrive in full: {waited:.0f} s, {self._body_bytes} bytes", "timeout"
                )
        elif not self._exchanges and not self._ordinary_busy():
            limit = 1.0 if self.door.draining else settings.keep_alive_s
            if waited > limit and unsent == 0:
                self.transport.close()

    # ---- the parser's callbacks

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._header_bytes = 0
        self._body_bytes = 0
        self._in_request = True

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(len(name) + len(value))
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def _count_header(self, size: int) -> None:
        self._header_bytes += size + 4
        if self._header_bytes > self._max_header and not self._refused:
            self.refuse(431, f"the request's header is longer than {self._max_header} bytes", "too_large")

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        from_page = False
        for name, value in self.headers:
            if name == b"origin":
                from_page = True  # a browser's page: the ordinary way asks whether it may
            if name == b"content-length" and int(value) > self._max_body:
                self._too_large()
                return
            if name == b"host" and not self.door.hosts.allows(value):
                self.refuse(
                    403, f"Host {value[:80].decode('latin-1')!r} is not one of ours: see allowed_hosts", "forbidden"
                )
                return
        route = self.door.route(self.url)
        fast = not from_page and self.parser.get_method() == b"POST" and not self.parser.should_upgrade()
        # Behind an ordinary request that is still being answered, an inference takes the ordinary way too: answers keep
        # their order.
        if fast and route is not None and not self._ordinary_busy() and not self.pipeline:
            self._receiving = Exchange(self, *route)
            if self.expect_100_continue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._receiving = None
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expect
        self.scope["headers"] = headers
        super().on_headers_complete()

    def _ordinary_busy(self) -> bool:
        """Whether an ordinary request is being answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._exchanges:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))
        else:
            super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._refused:
            return
        if self._body_bytes > self._max_body:
            self._too_large()
        elif self._receiving is not None:
            self._receiving.body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_request = False
        self._since = self.loop.time()
        if self._refused:
            return
        exchange = self._receiving
        if exchange is None:
            super().on_message_complete()
            return
        self._receiving = None
        exchange.keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
        body = exchange.body[0] if len(exchange.body) == 1 else b"".join(exchange.body)
        exchange.body.clear()
        said = asked(self.headers)
        self._remember(exchange, said, len(body))
        self._ask(exchange, said, body)

    def _ask(self, exchange: Exchange, said: Asked, body: bytes) -> None:
        self._exchanges.append(exchange)
        if len(self._exchanges) >= PIPELINED:
            self.flow.pause_reading()
        request = self.door.inference.start(exchange.name, exchange.version, said, body, exchange.respond)
        if exchange.reply is None:
            exchange.request = request

    # ---- answers

    def flush(self) -> None:
        """Send every answer whose turn has come."""
        exchanges = self._exchanges
        while exchanges and (answer := exchanges[0].reply) is not None:
            exchange = exchanges.popleft()
            self.server_state.total_requests += 1
            close = not exchange.keep_alive or self.door.draining
            self.transport.write(_render(answer, close=close))
            if close:
                self.transport.close()
                return
        self._since = self.loop.time()
        if len(exchanges) < PIPELINED and self.flow.read_paused and not self.flow.write_paused:
            self.flow.resume_reading()
        if self.pipeline and not exchanges:
            cycle, app = self.pipeline.pop()
            super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """The client does not read: nor do we, until it does."""
        super().pause_writing()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.flow.resume_reading()

    def _too_large(self) -> None:
        self.refuse(413, f"the body is longer than {self._max_body} bytes", "too_large")

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, msg, "invalid_input")

    def refuse(self, status: int, message: str, code: str) -> None:
        """Answer with an error and close: what follows on this connection cannot be trusted, or is not wanted.

        What was asked before is answered before.
        """
        self._refused = True
        self._in_request = False
        self._receiving = None
        answer = Answer(status, orjson.dumps({"error": message, "code": code}))
        if self._exchanges:
            last = Exchange(self, "", None)
            last.reply = answer
            last.keep_alive = False
            self._exchanges.append(last)
        elif not self.transport.is_closing():
            self.transport.write(_render(answer, close=True))
            self.transport.close()


def _render(answer: Answer, *, close: bool) -> bytes:
    """An HTTP/1.1 response."""
    status, body, content_type, headers = answer
    if status == 200 and not headers and content_type is JSON and not close:
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    lines = [_STATUS_LINES[status], b"content-type: %b\r\ncontent-length: %d\r\n" % (content_type, len(body))]
    lines += [b"%b: %b\r\n" % header for header in headers]
    if close:
        lines.append(b"connection: close\r\n")
    return b"".join((*lines, b"\r\n", body))
