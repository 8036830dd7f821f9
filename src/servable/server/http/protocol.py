"""The HTTP door: uvicorn's own protocol, extended.

A request for an inference route never becomes an ASGI scope: it is answered here, by `Inference`, without a task; so
is one that has a shortcut (`shortcut.py`). Everything else is plain ASGI, and uvicorn's. What holds both within limits
is `limited.py`.
"""

from __future__ import annotations

from typing import Any, Final

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from servable.server.http.exchange import Exchange, render
from servable.server.http.heads import Head, Headers
from servable.server.http.infer import Asked, asked
from servable.server.http.limited import DoorState, LimitedProtocol
from servable.server.http.shortcut import Shortcuts

PIPELINED: Final = 64
"""Requests of one connection that may be under way at once; beyond, it is not read from."""


class DoorProtocol(LimitedProtocol):
    """One connection. `functools.partial(DoorProtocol, state)` is what uvicorn takes as its `http`."""

    def __init__(
        self, door: DoorState, config: Config, server_state: ServerState, app_state: dict[str, Any], **more: Any
    ) -> None:
        super().__init__(door, config, server_state, app_state, **more)
        self._receiving: Exchange | None = None
        self._fresh = b""
        """What came last, if a request begins with it."""

    # ---- the connection

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for exchange in self._exchanges:
            exchange.abandon()
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

    # ---- the parser's callbacks

    def on_headers_complete(self) -> None:
        self._receiving = None
        if self._refused or not self._permitted():
            return
        fast = not self._from_page and not self.parser.should_upgrade()
        # Behind an ordinary request that is still being answered, an inference takes the ordinary way too: answers keep
        # their order.
        if fast and not self._ordinary_busy() and not self.pipeline and (exchange := self._fast()) is not None:
            self._receiving = exchange
            if self.expect_100_continue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        super().on_headers_complete()

    def _fast(self) -> Exchange | None:
        """The exchange of a request that is answered here; None for any other."""
        method = self.parser.get_method()
        if method == b"POST" and (route := self.door.heads.route(self.url)) is not None:
            return Exchange(self.flush, *route)
        shortcut = None if self.door.shortcuts is None else self.door.shortcuts.find(method, self.url)
        return None if shortcut is None else Exchange(self.flush, "", None, shortcut)

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
        if exchange.shortcut is not None and (shortcuts := self.door.shortcuts) is not None:
            shortcuts.submit(exchange.shortcut, said, body, exchange.respond)
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
