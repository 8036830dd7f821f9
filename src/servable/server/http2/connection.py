"""HTTP/2, the server's side of it, for gRPC: one connection, from its first byte to its last.

It knows nothing of gRPC: a Service opens a Receiver for each request and answers through its Stream. What arrives is
`reading.py` and `inbound.py`, what leaves is `sending.py`; here are the connection's life and its
limits in time. Source: RFC 9113, RFC 7541. Not here: server push, priorities, HTTP/1.1, TLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, cast

from servable.server.http2 import frames as h2
from servable.server.http2.frames import ConnectionFault
from servable.server.http2.inbound import Inbound
from servable.server.http2.reading import Frames, NotHttp2
from servable.server.http2.sending import Sending
from servable.server.http2.stream import NOBODY, Service, Stream
from servable.settings import Settings

DRAIN_PING: Final = b"servable"

NOT_HTTP2: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    b"This port speaks gRPC (HTTP/2 without TLS). HTTP/1.1 is answered on the HTTP port.\n"
)


class Connection(asyncio.Protocol):
    """One peer. `on_open` and `on_close` tell whoever counts, sweeps and drains connections."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        on_open: Callable[[Connection], bool],
        on_close: Callable[[Connection], None],
    ) -> None:
        """`on_open` returns whether there is room for one more connection."""
        self._service = service
        self._settings = settings
        self._on_open = on_open
        self._on_close = on_close
        self.streams: dict[int, Stream] = {}
        self.peer = ""
        self.held_bytes = 0
        """Of messages that are not complete, all streams together; whoever gathers them counts them here."""
        self.final = False
        """A last GOAWAY was sent: no new streams."""
        self._frames = Frames()
        self._draining = False
        self._over = False
        self._idle_since = monotonic()
        self._stalled = (0, self._idle_since)

    # ---- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.sending = Sending(self._transport)
        self._inbound = Inbound(self, self._service, self._settings.max_header_bytes)
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else str(name or "")
        if not self._on_open(self):
            self._fail(ConnectionFault(h2.ENHANCE_YOUR_CALM, "too many connections"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._over = True
        for stream in list(self.streams.values()):
            self.lose(stream)
        self._on_close(self)

    def pause_writing(self) -> None:
        """The peer does not read: nor do we, until it does."""
        self.sending.paused = True
        if not self._over:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.sending.paused = False
        if not self._over:
            self._transport.resume_reading()
            self.pump()

    def is_over(self) -> bool:
        """Nothing more is read or written."""
        return self._over

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        greeted = self._frames.greeted
        try:
            for frame in self._frames.feed(data):
                self._inbound.take(*frame)
                if self.is_over():
                    return
            if not greeted and self._frames.greeted:
                self._inbound.greet()
                if self._draining:
                    self._send_away()
        except ConnectionFault as fault:
            self._fail(fault)
        except NotHttp2 as fault:
            self.send(NOT_HTTP2 if fault.plain else b"")
            self._over = True
            self._transport.close()

    def send(self, frame: bytes) -> None:
        """A frame that no window holds back."""
        if not self._over:
            self._transport.write(frame)

    # ---- answers out

    def write(self, stream: Stream, headers: bytes | None, data: bytes, trailers: bytes | None) -> None:
        """See Stream.write."""
        if self._over:
            return
        if self.sending.write(stream, headers, data, trailers):
            self._finished(stream)
        elif self.sending.blocked:
            self.pump()

    def pump(self) -> None:
        """Send what waits, as far as the peer now allows."""
        if self._over:
            return
        for outgoing in self.sending.pump():
            stream = self.streams.get(outgoing.id)
            if stream is None:
                continue
            if stream.trailers is not None:
                self._finished(stream)
            else:
                stream.receiver.writable()

    def _finished(self, stream: Stream) -> None:
        """The answer is out. What may still come of the request is not wanted."""
        if not stream.complete:
            self.send(h2.reset(stream.id, h2.NO_ERROR))
        self._close(stream)

    def drop(self, stream: Stream, code: int) -> None:
        """End a stream at once, without an answer."""
        self.send(h2.reset(stream.id, code))
        self.lose(stream)

    def lose(self, stream: Stream) -> None:
        """Nobody waits for this answer any more."""
        receiver = stream.receiver
        self._close(stream)
        receiver.gone()

    def _close(self, stream: Stream) -> None:
        """A stream is over, in whatever way. It lets go of its receiver: they refer to each other."""
        if not stream.open:
            return
        stream.open = False
        stream.receiver = NOBODY
        del self.streams[stream.id]
        self.sending.forget(stream)
        if not self.streams:
            self._idle_since = monotonic()
            if self.final:
                self._leave_if_idle()

    # ---- the end

    def drain(self) -> None:
        """Tell the peer to go elsewhere; close once its requests, those on their way too, are answered.

        A peer that has said nothing yet may still begin, until this is called again.
        """
        if self._over:
            return
        if self._draining:
            if not self._frames.greeted:
                self.abort()
            return
        self._draining = True
        if self._frames.greeted:
            self._send_away()

    def _send_away(self) -> None:
        self.send(h2.goaway(h2.LARGEST_WINDOW, h2.NO_ERROR) + h2.frame(h2.PING, 0, 0, DRAIN_PING))

    def pinged(self, payload: bytes) -> None:
        """The peer has answered a PING of ours: it knows that it is to go elsewhere."""
        if self._draining and payload == DRAIN_PING and not self.final:
            self.final = True
            self.send(h2.goaway(self._inbound.last, h2.NO_ERROR))
            self._leave_if_idle()

    def abort(self) -> None:
        """Close now, whatever is under way."""
        self._over = True
        self._transport.abort()

    def _leave_if_idle(self) -> None:
        if not self.streams and not self._over:
            self._over = True
            self._transport.close()

    def _fail(self, fault: ConnectionFault) -> None:
        self.send(h2.goaway(self._inbound.last, fault.code, fault.reason))
        self._over = True
        self._transport.close()

    def sweep(self, now: float) -> None:
        """Once a second: end what comes too slowly, is not read, or idles too long."""
        settings = self._settings
        self._inbound.calm_down()
        unsent = self._transport.get_write_buffer_size()
        progress = self.sending.progress - unsent
        if not unsent or progress != self._stalled[0]:
            self._stalled = (progress, now)
        elif now - self._stalled[1] > settings.write_timeout_s:
            self.abort()
            return
        for stream in list(self.streams.values()):
            waited = now - stream.since
            slow = waited > settings.receive_timeout_s and stream.received < settings.min_receive_rate * waited
            unread = bool(stream.waiting) and now - stream.moved > settings.write_timeout_s
            if (stream.waits and slow) or unread:
                self.drop(stream, h2.CANCEL)
        patience = settings.keep_alive_s
        if self._frames.partial or not self._frames.greeted:
            patience = settings.receive_timeout_s
        if not self.streams and not self._over and not unsent and now - self._idle_since > patience:
            self._fail(ConnectionFault(h2.NO_ERROR, "idle"))
