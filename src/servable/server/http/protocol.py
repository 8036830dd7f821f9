"""The HTTP door: uvicorn's own protocol, extended.

A request for an inference route never becomes an ASGI scope: it is answered here, by `Inference`, without a task; so
is one that has a shortcut (`shortcut.py`).
Everything else is plain ASGI, and uvicorn's. What uvicorn lacks is added for both: limits on header, body and
connections, and receive, idle and write timeouts (kept by one sweep a second, not by a timer a request).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import httptools
import orjson
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from servable.server.access.hosts import Hosts
from servable.server.http.exchange import Exchange, render
from servable.server.http.heads import Head, Headers, Heads
from servable.server.http.infer import Answer, Asked, Inference, asked
from servable.server.http.policy import Patience, Phase, patience
from servable.server.http.shortcut import Shortcuts
from servable.settings import Settings

PIPELINED: Final = 64
"""Requests of one connection that may be under way at once; beyond, it is not read from."""


class DoorState:
    """What all connections of a door share."""

    def __init__(
        self, inference: Inference, hosts: Hosts, settings: Settings, shortcuts: Shortcuts | None = None
    ) -> None:
        self.inference = inference
        self.shortcuts = shortcuts
        self.hosts = hosts
        self.settings = settings
        self.draining = False
        self.heads = Heads()


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
        if self.pipeline or self._ordinary_busy():
            return False
        found = self.door.heads.find(data)
        if found is None:
            return self.door.shortcuts is not None and self._answer_shortcut(self.door.shortcuts, data)
        head, body = found
        self._ask(Exchange(self.flush, head.name, head.version), head.asked, body)
        return True

    def _answer_shortcut(self, shortcuts: Shortcuts, data: bytes) -> bool:
        """The same for a request that has a shortcut, and of which only the first line is new."""
        found = self.door.heads.find_below(data)
        if found is None:
            return False
        method, url, headers, body = found
        shortcut = shortcuts.find(method, url)
        if shortcut is None:
            return False
        self._ask(Exchange(self.flush, "", None, shortcut), headers.asked, body)
        return True

    def shutdown(self) -> None:
        """The server is going: close once nothing is under way."""
        if self._exchanges or self._in_request:
            return
        super().shutdown()

    def sweep(self, now: float) -> None:
        """Once a second: close whoever sends too slowly, idles too long, or does not read."""
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent[0]:
            self._unsent = (unsent, now)
        waited_s = now - self._since
        under_way = bool(self._exchanges) or self._ordinary_busy() or unsent > 0
        phase = Phase(
            waited_s if self._in_request else None,
            self._body_bytes,
            None if under_way else waited_s,
            now - self._unsent[1],
        )
        match patience(phase, self.door.settings, draining=self.door.draining):
            case Patience.ABORT:
                self.transport.abort()
            case Patience.REFUSE:
                came = f"{waited_s:.0f} s, {self._body_bytes} bytes"
                self.refuse(408, f"the request did not arrive in full: {came}", "timeout")
            case Patience.CLOSE:
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
        fast = not from_page and not self.parser.should_upgrade()
        # Behind an ordinary request that is still being answered, an inference takes the ordinary way too: answers keep
        # their order.
        if fast and not self._ordinary_busy() and not self.pipeline and (exchange := self._fast()) is not None:
            self._receiving = exchange
            if self.expect_100_continue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._receiving = None
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expect
        self.scope["headers"] = headers
        super().on_headers_complete()

    def _fast(self) -> Exchange | None:
        """The exchange of a request that is answered here; None for any other."""
        method = self.parser.get_method()
        if method == b"POST" and (route := self.door.heads.route(self.url)) is not None:
            return Exchange(self.flush, *route)
        shortcut = None if self.door.shortcuts is None else self.door.shortcuts.find(method, self.url)
        return None if shortcut is None else Exchange(self.flush, "", None, shortcut)

    def _ordinary_busy(self) -> bool:
        """Whether an ordinary request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
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
        if exchange.keep_alive and not self.expect_100_continue:
            if exchange.shortcut is None:
                self.door.heads.remember(self._fresh, Head(exchange.name, exchange.version, said, len(body)))
            else:
                self.door.heads.remember_below(self._fresh, Headers(said, len(body)))
        self._ask(exchange, said, body)

    def _ask(self, exchange: Exchange, said: Asked, body: bytes) -> None:
        self._exchanges.append(exchange)
        if len(self._exchanges) >= PIPELINED:
            self.flow.pause_reading()
        if exchange.shortcut is not None:
            exchange.respond(exchange.shortcut(said, body))
            return
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
            self.transport.write(render(answer, close=close))
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
            last = Exchange(self.flush, "", None)
            last.reply = answer
            last.keep_alive = False
            self._exchanges.append(last)
        elif not self.transport.is_closing():
            self.transport.write(render(answer, close=True))
            self.transport.close()
