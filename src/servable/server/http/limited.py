"""The limits of a connection, which uvicorn lacks: on header, body and how many there are, and receive, idle and write
timeouts, which are kept by one sweep a second, not by a timer a request. `protocol.py` is the same, with its answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from servable.server.access.hosts import Hosts
from servable.server.http.exchange import Exchange, render
from servable.server.http.heads import Heads
from servable.server.http.infer import Answer, Inference
from servable.server.http.policy import Patience, Phase, patience
from servable.server.http.shortcut import Shortcuts
from servable.settings import Settings


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


class LimitedProtocol(HttpToolsProtocol):
    """One connection, as far as it must be held within limits."""

    def __init__(
        self, door: DoorState, config: Config, server_state: ServerState, app_state: dict[str, Any], **more: Any
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, **more)
        self.door = door
        self._max_header = door.settings.max_header_bytes
        self._max_body = door.settings.max_body_bytes
        self._exchanges: deque[Exchange] = deque()
        """What is answered here, in the order in which it was asked."""
        self._header_bytes = 0
        self._body_bytes = 0
        self._since = 0.0
        """When the present phase began: a request being received, or the connection idle."""
        self._in_request = False
        self._refused = False
        self._from_page = False
        """A browser's page sends this: the ordinary way asks whether it may."""
        self._unsent = (0, 0.0)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.door.settings.max_connections:
            self.refuse(503, "too many connections: ask again", "overloaded")

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

    def _ordinary_busy(self) -> bool:
        """Whether an ordinary request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    # ---- what comes

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._header_bytes = 0
        self._body_bytes = 0
        self._in_request = True
        self._from_page = False

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(len(name) + len(value))
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        elif name == b"origin":
            self._from_page = True
        self.headers.append((name, value))

    def _count_header(self, size: int) -> None:
        self._header_bytes += size + 4
        if self._header_bytes > self._max_header and not self._refused:
            self.refuse(431, f"the request's header is longer than {self._max_header} bytes", "too_large")

    def _permitted(self) -> bool:
        """Whether this request, whose headers are complete, is let in; if not it is refused."""
        for name, value in self.headers:
            if name == b"content-length" and int(value) > self._max_body:
                self._too_large()
                return False
            if name == b"host" and not self.door.hosts.allows(value):
                self.refuse(
                    403, f"Host {value[:80].decode('latin-1')!r} is not one of ours: see allowed_hosts", "forbidden"
                )
                return False
        return True

    def on_headers_complete(self) -> None:
        """The ordinary way, which begins with the headers: only now is it known that the request takes it."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expect
        self.scope["headers"] = headers
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """The client does not read: nor do we, until it does."""
        super().pause_writing()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.flow.resume_reading()

    def flush(self) -> None:
        """Send every answer whose turn has come."""
        raise NotImplementedError

    # ---- refusals

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
        answer = Answer(status, orjson.dumps({"error": message, "code": code}))
        if self._exchanges:
            last = Exchange(self.flush, "", None)
            last.reply = answer
            last.keep_alive = False
            self._exchanges.append(last)
        elif not self.transport.is_closing():
            self.transport.write(render(answer, close=True))
            self.transport.close()
