"""What the frames of an HTTP/2 peer mean: requests, windows, settings; and where they break the protocol or the peace.

Decides nothing about time (`connection.py` does) and answers nothing. Source: RFC 9113, sections 5 and 6.
"""

from __future__ import annotations

from typing import Final, Protocol

from servable.server.http2 import frames as h2
from servable.server.http2.frames import ConnectionFault, StreamFault
from servable.server.http2.reading import MAX_FRAME_BYTES, Headers
from servable.server.http2.sending import Sending
from servable.server.http2.stream import STREAM_WINDOW, Owner, Service, Stream

CONNECTION_WINDOW: Final = 16 * 1024 * 1024
MAX_STREAMS: Final = 1024
"""Requests of one connection that may be under way at once."""
MOST_CALM: Final = 10_000
"""What a peer may cost us, without asking for anything, before the connection ends: see `_pester`."""


class Peer(Owner, Protocol):
    """The connection that the frames come over."""

    streams: dict[int, Stream]
    sending: Sending
    final: bool

    def lose(self, stream: Stream) -> None: ...

    def pump(self) -> None: ...

    def pinged(self, payload: bytes) -> None: ...


class Inbound:
    """Takes the frames of one connection, in their order."""

    def __init__(self, connection: Peer, service: Service, max_header_bytes: int) -> None:
        self._connection = connection
        self._service = service
        self._max_header_bytes = max_header_bytes
        self._headers = Headers(service.read_head, max_header_bytes)
        self._block: tuple[int, bool, bytearray] | None = None
        """A header block that goes on in CONTINUATION frames: stream, whether the request ends there, bytes so far."""
        self._window_left = CONNECTION_WINDOW
        self._calm = 0
        self._greeted = False
        self.last = 0
        """The latest stream that was opened."""

    def calm_down(self) -> None:
        """Half of what was counted against the peer is forgotten."""
        self._calm //= 2

    def take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Deal with one frame. Raises ConnectionFault."""
        if not self._greeted:
            self.greet()
            if kind != h2.SETTINGS or flags & h2.ACK:
                raise ConnectionFault(h2.PROTOCOL_ERROR, "the first frame must be SETTINGS")
        try:
            self._frame(kind, flags, number, payload)
        except StreamFault as fault:
            self._pester(1 if fault.code == h2.REFUSED_STREAM else 10)
            stream = self._connection.streams.get(fault.stream)
            if stream is not None:
                self._connection.drop(stream, fault.code)
            else:
                self._connection.send(h2.reset(fault.stream, fault.code))

    def greet(self) -> None:
        """Tell the peer what we take, once it has shown that it speaks HTTP/2."""
        if self._greeted:
            return
        self._greeted = True
        values = (
            (h2.MAX_CONCURRENT_STREAMS, MAX_STREAMS),
            (h2.INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (h2.MAX_FRAME_SIZE, MAX_FRAME_BYTES),
            (h2.MAX_HEADER_LIST_SIZE, self._max_header_bytes),
        )
        self._connection.send(h2.settings(values) + h2.window_update(0, CONNECTION_WINDOW - h2.DEFAULT_WINDOW))

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None and (kind != h2.CONTINUATION or number != self._block[0]):
            raise ConnectionFault(h2.PROTOCOL_ERROR, "a header block was not ended")
        if kind == h2.DATA:
            self._on_data(flags, number, payload)
        elif kind == h2.HEADERS:
            self._on_headers(flags, number, payload)
        elif kind == h2.WINDOW_UPDATE:
            self._on_window(number, h2.word(payload) & h2.STREAM_MASK)
        elif kind == h2.PING:
            self._on_ping(flags, number, payload)
        elif kind == h2.SETTINGS:
            self._on_settings(flags, number, payload)
        elif kind == h2.RST_STREAM:
            self._on_reset(number, h2.word(payload))
        elif kind == h2.CONTINUATION:
            self._on_continuation(flags, payload)
        elif kind == h2.PUSH_PROMISE:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "PUSH_PROMISE from a client")
        elif kind == h2.PRIORITY:
            if not number or len(payload) != 5:  # RFC 9113, 6.3
                raise ConnectionFault(h2.FRAME_SIZE_ERROR if number else h2.PROTOCOL_ERROR, "a bad PRIORITY")
            self._pester(1)
        elif kind == h2.GOAWAY and number:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "GOAWAY on a stream")

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        payload = h2.unpadded(flags, payload)
        if flags & h2.WITH_PRIORITY:
            if len(payload) < 5:  # RFC 9113, 6.2
                raise ConnectionFault(h2.FRAME_SIZE_ERROR, "HEADERS too short for a priority")
            payload = payload[5:]
        if not number & 1:
            raise ConnectionFault(h2.PROTOCOL_ERROR, f"a client opened stream {number}")
        ends = bool(flags & h2.END_STREAM)
        if flags & h2.END_HEADERS:
            self._on_block(number, payload, ends=ends)
        else:
            self._block = (number, ends, bytearray(payload))

    def _on_continuation(self, flags: int, payload: bytes) -> None:
        if self._block is None:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "CONTINUATION of nothing")
        number, ends, block = self._block
        block += payload
        self._pester(10)
        if len(block) > self._max_header_bytes:
            raise ConnectionFault(h2.ENHANCE_YOUR_CALM, f"headers longer than {self._max_header_bytes} bytes")
        if flags & h2.END_HEADERS:
            self._block = None
            self._on_block(number, bytes(block), ends=ends)

    def _on_block(self, number: int, block: bytes, *, ends: bool) -> None:
        """A whole header block: a new request, or the end of one."""
        head = self._headers.decode(block)
        stream = self._connection.streams.get(number)
        if stream is not None:
            if stream.complete or not ends:
                raise StreamFault(h2.STREAM_CLOSED if stream.complete else h2.PROTOCOL_ERROR, number)
            stream.complete = True
            self._end(stream)
            return
        if number <= self.last:
            raise StreamFault(h2.STREAM_CLOSED, number)
        self.last = number
        if self._connection.final or len(self._connection.streams) >= MAX_STREAMS:
            raise StreamFault(h2.REFUSED_STREAM, number)
        if isinstance(head, ValueError):
            raise StreamFault(h2.PROTOCOL_ERROR, number)
        stream = Stream(number, self._connection, self._connection.sending.stream_window)
        self._connection.streams[number] = stream
        stream.complete = ends
        receiver = self._service.open(stream, head)
        if stream.open:
            stream.receiver = receiver
            if ends:
                self._end(stream)

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        self._known(number)
        size = len(payload)
        self._window_left -= size
        if self._window_left < CONNECTION_WINDOW // 2:
            if self._window_left < 0:
                raise ConnectionFault(h2.FLOW_CONTROL_ERROR, "more data than the connection's window")
            self._connection.send(h2.window_update(0, CONNECTION_WINDOW - self._window_left))
            self._window_left = CONNECTION_WINDOW
        stream = self._connection.streams.get(number)
        if stream is None:
            self._pester(1)  # for a stream that we have ended already
            return
        if stream.complete:
            raise StreamFault(h2.STREAM_CLOSED, number)
        stream.window_left -= size
        if stream.window_left < 0:
            raise StreamFault(h2.FLOW_CONTROL_ERROR, number)
        if flags & h2.PADDED:
            payload = h2.unpadded(flags, payload)
            stream.credit(size - len(payload))
        stream.complete = bool(flags & h2.END_STREAM)
        if payload:
            stream.received += len(payload)
            stream.receiver.received(payload)
        elif not stream.complete:
            self._pester(1)
        if stream.complete and stream.open:
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        stream.waits = False
        self._calm = max(self._calm - 4, 0)
        stream.receiver.ended()

    def _on_reset(self, number: int, _code: int) -> None:
        self._known(number)
        self._pester(10)
        stream = self._connection.streams.get(number)
        if stream is not None:
            self._connection.lose(stream)

    def _on_window(self, number: int, increment: int) -> None:
        if number:
            self._known(number)
            stream = self._connection.streams.get(number)
            if not increment:
                raise StreamFault(h2.PROTOCOL_ERROR, number)
            if stream is not None:
                self._connection.sending.widen_stream(stream, increment)
        elif increment:
            self._connection.sending.widen(increment)
        else:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        self._pester(1)
        if self._connection.sending.blocked:
            self._connection.pump()

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) != 8:  # RFC 9113, 6.7
            raise ConnectionFault(h2.PROTOCOL_ERROR if number else h2.FRAME_SIZE_ERROR, "a bad PING")
        if not flags & h2.ACK:
            self._pester(1)
            self._connection.send(h2.frame(h2.PING, h2.ACK, 0, payload))
        else:
            self._connection.pinged(payload)

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & h2.ACK:
            if payload:
                raise ConnectionFault(h2.FRAME_SIZE_ERROR, "an acknowledgement with a payload")
            return
        self._pester(1)
        for key, value in h2.read_settings(payload):
            if key == h2.INITIAL_WINDOW_SIZE:
                self._connection.sending.set_stream_window(value, self._connection.streams.values())
            elif key == h2.MAX_FRAME_SIZE:
                self._connection.sending.set_frame_bytes(value)
        self._connection.send(h2.frame(h2.SETTINGS, h2.ACK, 0))
        self._connection.pump()

    def _known(self, number: int) -> None:
        """Raises ConnectionFault for a stream that was never opened."""
        if not number & 1 or number > self.last:
            raise ConnectionFault(h2.PROTOCOL_ERROR, f"a frame for stream {number}, which is idle")

    def _pester(self, cost: int) -> None:
        """Count a frame that asks for nothing, or takes a request back. Requests that come in full weigh against it; an
        honest peer stays near zero.
        """
        self._calm += cost
        if self._calm > MOST_CALM:
            raise ConnectionFault(h2.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")
