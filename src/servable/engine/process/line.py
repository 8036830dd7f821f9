"""Line: one connection of a door to a model process, without blocking: frames go out, frames come in, or it is lost.

It decides nothing: `client.py` says what is sent, and what a loss means.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final

from servable.domain.batch import Batch
from servable.engine.process.arena import Arena
from servable.wire import frames

RECEIVE_BYTES: Final = 256 * 1024
AT_ONCE: Final = 256 * 1024
"""Parts of a frame that are no more than this together are joined and sent by one call of the system."""
LARGEST_ARENA: Final = 1 << 30
"""What does not fit goes through the socket."""
EMPTY: Final = memoryview(b"")

logger = logging.getLogger("servable.engine")

Heard = Callable[[int, int, memoryview, memoryview], None]
"""Takes a frame: kind, number, head, body."""


class Line:
    """A connected, non-blocking Unix socket and its two arenas. `lost` is called once, after which nothing comes."""

    def __init__(self, sock: socket.socket, heard: Heard, lost: Callable[[], None], max_frame_bytes: int) -> None:
        self._sock = sock
        self._heard = heard
        self._lost = lost
        self._max_frame_bytes = max_frame_bytes
        self._loop = asyncio.get_running_loop()
        self._partial = b""
        self._large: memoryview | None = None
        self._filled = 0
        self._unsent: list[memoryview] = []
        self._open = True
        self.begun: int | None = None
        """Once closed: the number of the call that the process began last; None where it cannot be known."""
        self._calls = _arena(frames.SLATE)
        self.answers = _arena(frames.SLATE)
        self._offer()
        if self._open:
            self._loop.add_reader(sock, self._readable)

    def call(self, number: int, batch: Batch, deadline: float) -> None:
        """Send a call. The one before it has been answered."""
        wanted = frames.room_for(batch)
        if self._calls is not None and self._calls.size < wanted <= LARGEST_ARENA:
            self._grow_calls(wanted)
        parts, _ = frames.batch(frames.CALL, number, batch, self._calls if wanted else None, deadline)
        self._send(parts)

    def leave(self) -> None:
        """Say that this version is unloaded here, and hang up."""
        self._send([frames.control(frames.LEAVE)])
        self.close()

    def make_room(self, wanted: int) -> None:
        """The last answer would have needed an arena of this size: have one for the next."""
        if self.answers is not None and self.answers.size < wanted <= LARGEST_ARENA:
            larger = _arena(_rounded(wanted))
            if larger is not None:
                self.answers.close()
                self.answers = larger
                self._offer()

    def close(self) -> None:
        """Hang up; `lost` is not called."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
            self.begun = None if self.answers is None else self.answers.slate
            for arena in (self._calls, self.answers):
                if arena is not None:
                    arena.close()

    def _grow_calls(self, wanted: int) -> None:
        larger = _arena(_rounded(wanted))
        if larger is not None and self._calls is not None:
            self._calls.close()
            self._calls = larger
            self._offer()

    def _offer(self) -> None:
        """Hand both arenas to the process. There is always room for so small a frame: calls wait for their answers."""
        if self._calls is None or self.answers is None:
            self._calls = self.answers = None
            return
        try:
            socket.send_fds(self._sock, [frames.control(frames.ARENAS)], [self._calls.fd, self.answers.fd])
        except OSError:
            self._hang_up()

    def _send(self, parts: list[bytes | memoryview]) -> None:
        if sum(map(len, parts)) <= AT_ONCE:
            parts = [frames.joined(parts)]
        self._unsent = [memoryview(part) for part in parts]
        self._writable()

    def _writable(self) -> None:
        try:
            while self._unsent:
                sent = self._sock.send(self._unsent[0])
                if sent == len(self._unsent[0]):
                    del self._unsent[0]
                else:
                    self._unsent[0] = self._unsent[0][sent:]
        except BlockingIOError:
            self._loop.add_writer(self._sock, self._writable)
            return
        except OSError:
            self._hang_up()
            return
        if self._open:
            self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            if self._large is not None:
                size = self._sock.recv_into(self._large[self._filled :])
                self._filled += size
                if size and self._filled < len(self._large):
                    return
                data: bytes | memoryview = self._large if size else b""
                self._large, self._filled = None, 0
            else:
                data = self._sock.recv(RECEIVE_BYTES)
                if data and self._partial:
                    data, self._partial = self._partial + data, b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        self._parse(memoryview(data))

    def _parse(self, data: memoryview) -> None:
        """Hand over the frames in `data`; keep what is not whole."""
        while data and self._open:
            if len(data) < frames.HEADER.size:
                self._partial = bytes(data)
                return
            kind, head_bytes, body_bytes, number, _ = frames.HEADER.unpack_from(data)
            size = frames.HEADER.size + head_bytes + body_bytes
            if size > self._max_frame_bytes:
                logger.error("an answer of %d bytes, more than %d, is refused", size, self._max_frame_bytes)
                self._hang_up()
                return
            if len(data) < size:
                self._large = memoryview(bytearray(size))
                self._large[: len(data)] = data
                self._filled = len(data)
                return
            head = data[frames.HEADER.size : frames.HEADER.size + head_bytes]
            self._heard(kind, number, head, data[frames.HEADER.size + head_bytes : size])
            data = data[size:]

    def _hang_up(self) -> None:
        if self._open:
            self.close()
            # Later: whoever is sending must not be told in the middle of it.
            self._loop.call_soon(self._lost)


def _arena(size: int) -> Arena | None:
    """A new one; None where the machine has no room: the socket then carries all."""
    with contextlib.suppress(OSError):
        return Arena.make(size)
    logger.warning("no shared memory of %d bytes: tensors go through the socket, which is slower", size)
    return None


def _rounded(size: int) -> int:
    """The next power of two, so that slowly growing batches do not need a new arena each."""
    return min(1 << (size - 1).bit_length(), LARGEST_ARENA)
