"""The sending side of an HTTP/2 connection: the peer's windows, and what waits for them. Source: RFC 9113, section 5.2.

Small answers go out at once, in one write; what exceeds a window waits here, and streams take turns, frame by frame.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Any, Final

from servable.server.http2.frames import (
    DATA,
    DEFAULT_FRAME_BYTES,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    HEAD,
    HEADERS,
    LARGEST_WINDOW,
    ConnectionFault,
    StreamFault,
    frame,
)

CHUNK_BYTES: Final = 256 * 1024
"""Frames are no longer, even where the peer takes longer ones: others get their turn."""


class Outgoing:
    """One stream's answer: its window, and what waits. A base of `http2.Stream`."""

    __slots__ = ("id", "moved", "trailers", "waiting", "window")

    def __init__(self, stream_id: int, window: int) -> None:
        self.id = stream_id
        self.window = window
        self.waiting: deque[memoryview] = deque()
        self.trailers: bytes | None = None
        """The header block that ends the answer, once it is known and before it is sent."""
        self.moved = 0.0
        """When some of what waits was last sent, or began to wait (time.monotonic)."""


class Sending:
    """Writes frames to a transport. `write` is the way in; the rest follows the peer's words."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self.transport = transport
        self.paused = False
        """The transport holds as much as it should: nothing that waits is added."""
        self.progress = 0
        """Bytes of DATA sent. Where it stands still although something waits, the peer does not read."""
        self._window = DEFAULT_WINDOW
        self._frame_bytes = DEFAULT_FRAME_BYTES
        self._stream_window = DEFAULT_WINDOW
        self._blocked: dict[int, Outgoing] = {}

    @property
    def stream_window(self) -> int:
        """The window that a new stream begins with."""
        return self._stream_window

    @property
    def blocked(self) -> bool:
        """Something waits for the peer."""
        return bool(self._blocked)

    def write(self, stream: Outgoing, headers: bytes | None, data: bytes, trailers: bytes | None) -> bool:
        """Send header block, data, and the block that ends the stream; each may be absent. True if it has ended.

        Otherwise `pump` will tell when it does, if trailers were given.
        """
        size = len(data)
        number = stream.id
        parts = []
        if headers is not None:
            parts += [HEAD.pack(len(headers) << 8 | HEADERS, END_HEADERS, number), headers]
        room = min(self._window, stream.window, self._frame_bytes)
        if not stream.waiting and (size <= room or not size):
            if size:
                self._window -= size
                stream.window -= size
                self.progress += size
                parts += [HEAD.pack(size << 8 | DATA, 0, number), data]
            if trailers is not None:
                parts += [HEAD.pack(len(trailers) << 8 | HEADERS, END_HEADERS | END_STREAM, number), trailers]
            self.transport.write(b"".join(parts))
            return trailers is not None
        if parts:
            self.transport.write(b"".join(parts))
        if size:
            stream.waiting.append(memoryview(data))
        if number not in self._blocked:
            stream.moved = monotonic()
        stream.trailers = trailers
        self._blocked[number] = stream
        return False

    def pump(self) -> list[Outgoing]:
        """Send what the windows allow. Returns streams for which nothing waits any more: with trailers, they ended."""
        free = []
        moved = True
        while moved and self._blocked and not self.paused:
            moved = False
            for stream in list(self._blocked.values()):
                if stream.waiting:
                    moved |= self._send_one(stream)
                if not stream.waiting:
                    del self._blocked[stream.id]
                    free.append(stream)
                    if stream.trailers is not None:
                        self.transport.write(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, stream.trailers))
        return free

    def _send_one(self, stream: Outgoing) -> bool:
        """One frame of what waits, if there is room for any of it."""
        first = stream.waiting[0]
        room = min(self._window, stream.window, self._frame_bytes, CHUNK_BYTES, len(first))
        if room <= 0 or self.paused:
            return False
        self.transport.write(frame(DATA, 0, stream.id, first[:room]))
        self._window -= room
        stream.window -= room
        self.progress += room
        stream.moved = monotonic()
        if room == len(first):
            stream.waiting.popleft()
        else:
            stream.waiting[0] = first[room:]
        return True

    def forget(self, stream: Outgoing) -> None:
        """The stream is gone: nothing more is sent for it."""
        self._blocked.pop(stream.id, None)
        stream.waiting.clear()

    # ---- the peer's words

    def widen(self, increment: int) -> None:
        """The connection's window grows. Raises ConnectionFault if it overflows."""
        self._window += increment
        if self._window > LARGEST_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "the connection's window overflows")

    @staticmethod
    def widen_stream(stream: Outgoing, increment: int) -> None:
        """One stream's window grows. Raises StreamFault if it overflows."""
        stream.window += increment
        if stream.window > LARGEST_WINDOW:
            raise StreamFault(FLOW_CONTROL_ERROR, stream.id)

    def set_stream_window(self, size: int, streams: Any) -> None:
        """SETTINGS_INITIAL_WINDOW_SIZE: for streams to come, and the difference for those there are; one may fall below
        zero. Raises ConnectionFault.
        """
        difference = size - self._stream_window
        self._stream_window = size
        for stream in streams:
            stream.window += difference
            if stream.window > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "a stream's window overflows")

    def set_frame_bytes(self, size: int) -> None:
        """SETTINGS_MAX_FRAME_SIZE: the longest frame that the peer takes."""
        self._frame_bytes = size
