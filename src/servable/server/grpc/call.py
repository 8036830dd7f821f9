"""One gRPC call over an HTTP/2 stream: messages in, messages and a status out. It knows no method and no model.

Source: grpc/grpc, doc/PROTOCOL-HTTP2.md and doc/compression.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, NamedTuple

from servable.errors import InvalidInput, ServableError, TooLarge, Unsupported
from servable.server.access.access import bearer
from servable.server.grpc.status import Status, status_of
from servable.server.http2.frames import header_block
from servable.server.http2.stream import Stream
from servable.settings import Settings
from servable.wire.compression import decompress

PREFIX: Final = struct.Struct(">BI")
"""Before each message: whether it is compressed, and its length."""
PREFIX_BYTES: Final = PREFIX.size

RESPONSE: Final = header_block(
    [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-accept-encoding", b"identity,deflate,gzip")]
)
NOT_GRPC: Final = header_block([(b":status", b"415"), (b"content-type", b"text/plain")])
SUCCESS: Final = header_block([(b"grpc-status", b"0")])

TIMEOUT: Final = re.compile(rb"(\d{1,8})([HMSmun])")
UNITS_S: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
ENCODINGS: Final = frozenset({b"", b"identity", b"gzip", b"deflate"})


class Head(NamedTuple):
    """What the headers of a call say. The same for every call that repeats them."""

    path: str
    timeout_s: float | None = None
    encoding: str = ""
    token: str | None = None
    request_id: str = ""
    problem: ServableError | None = None
    """Why no method can answer this."""
    is_grpc: bool = True
    unit: str = ""
    """What the caller calls itself."""


def read_head(headers: Sequence[tuple[bytes, bytes]]) -> Head:
    """The headers of a call. Raises ValueError if they are no valid HTTP/2 request.

    >>> read_head([(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/C"), (b"te", b"trailers"),
    ...            (b"content-type", b"application/grpc"), (b"grpc-timeout", b"20m")])
    Head(path='/a.B/C', timeout_s=0.02, encoding='', token=None, request_id='', problem=None,
    is_grpc=True, unit='')
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        pseudo = name[:1] == b":"
        if pseudo and (name in found or (found and not all(key[:1] == b":" for key in found))):
            raise ValueError("a pseudo-header twice, or after others")
        if name != name.lower() or name in {b"connection", b"transfer-encoding", b"upgrade", b"keep-alive"}:
            raise ValueError("a header that HTTP/2 does not have")
        found.setdefault(name, value)
    if not found.get(b":method") or not found.get(b":path") or not found.get(b":scheme"):
        raise ValueError("a request without :method, :scheme or :path")
    path = found[b":path"].decode("latin-1")
    if found[b":method"] != b"POST" or not found.get(b"content-type", b"").startswith(b"application/grpc"):
        return Head(path, is_grpc=False)
    token = bearer(found.get(b"authorization", b"").decode("latin-1"), found.get(b"x-api-key", b"").decode("latin-1"))
    encoding = found.get(b"grpc-encoding", b"")
    timeout = found.get(b"grpc-timeout")
    timeout_s = None
    problem: ServableError | None = None
    if timeout is not None:
        matched = TIMEOUT.fullmatch(timeout)
        if matched:
            timeout_s = int(matched[1]) * UNITS_S[matched[2]]
        else:
            problem = InvalidInput(
                f"grpc-timeout: expected digits and one of H M S m u n, got {timeout[:40].decode('latin-1')!r}"
            )
    if encoding not in ENCODINGS:
        problem = Unsupported(
            f"grpc-encoding {encoding[:40].decode('latin-1')!r} is not spoken here: use identity, gzip or deflate"
        )
    request_id = found.get(b"x-request-id", b"").decode("latin-1")[:256]
    unit = found.get(b"x-servable-unit", b"").decode("latin-1")[:256]
    packed = encoding.decode("latin-1").replace("identity", "")
    return Head(path, timeout_s, packed, token, request_id, problem, unit=unit)


class Call:
    """A call: whoever answers it sets `on_message`, `on_end` and `on_gone`, and then replies or fails, once.

    `on_message(message)` for each message; `on_end()` when the caller has sent all; `on_gone()` when
    nobody waits any more; `on_room()` when what `send` had to keep back has left.
    """

    __slots__ = (
        "_buffer", "_owed", "_settings", "_started", "_streaming", "deadline", "head", "on_end", "on_gone",
        "on_message", "on_room", "over", "paused", "stream",
    )  # fmt: skip

    def __init__(self, stream: Stream, head: Head, settings: Settings, *, streaming: bool = False) -> None:
        """`streaming`: the caller sends as many messages as it likes, and takes its time between them."""
        self.stream = stream
        self.head = head
        self.deadline = None if head.timeout_s is None else monotonic() + head.timeout_s
        """A point of `time.monotonic()`, if the caller named one."""
        self.on_message: Callable[[bytes], None]
        self.on_end: Callable[[], None]
        self.on_gone: Callable[[], None] = _nothing
        self.on_room: Callable[[], None] = _nothing
        self.over = False
        """Answered, or nobody waits."""
        self.paused = False
        """Set by whoever has messages enough; see `resume`."""
        self._owed = 0
        self._streaming = streaming
        stream.waits = not streaming
        self._settings = settings
        self._buffer = bytearray()
        self._started = False

    @property
    def peer(self) -> str:
        """The caller's address."""
        return self.stream.connection.peer

    @property
    def clogged(self) -> bool:
        """The caller does not take what it was sent."""
        return bool(self.stream.waiting)

    # ---- the request (an http2.Receiver)

    def received(self, data: bytes) -> None:
        """Some of the body: every message that is complete with it goes to `on_message`."""
        if self.over:
            return
        self._owed += len(data)
        try:
            if not self._buffer and len(data) >= PREFIX_BYTES:
                packed, size = PREFIX.unpack_from(data)
                if size == len(data) - PREFIX_BYTES:  # one message, one frame: nearly all
                    self._check(size)
                    self.on_message(data[PREFIX_BYTES:] if not packed else self._unpacked(data[PREFIX_BYTES:]))
                    return
            self._gather(data)
        except ServableError as error:
            self._break_off(error)
        finally:
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Let the caller send more, unless we have enough. Half a message must be followed by the rest in time."""
        if not self.paused:
            self.stream.credit(self._owed)
            self._owed = 0
        if self._streaming:
            waits = bool(self._buffer) and not self.paused
            if waits and not self.stream.waits:
                self.stream.since = monotonic()
                self.stream.received = 0
            self.stream.waits = waits

    def resume(self) -> None:
        """After `paused` was set: there is room for more messages."""
        self.paused = False
        if not self.over:
            self._acknowledge()

    def _gather(self, data: bytes) -> None:
        """Messages that come in pieces, or several in one piece."""
        buffer = self._buffer
        buffer += data
        connection = self.stream.connection
        connection.held_bytes += len(data)
        position = 0
        while not self.over and len(buffer) - position >= PREFIX_BYTES:
            packed, size = PREFIX.unpack_from(buffer, position)
            self._check(size)
            start = position + PREFIX_BYTES
            if len(buffer) - start < size:
                break
            position = start + size
            message = bytes(memoryview(buffer)[start:position])
            self.on_message(message if not packed else self._unpacked(message))
        del buffer[:position]
        connection.held_bytes -= position
        limit = 2 * self._settings.max_body_bytes
        if connection.held_bytes > limit:
            raise TooLarge(
                f"this connection has more than {limit} bytes of unfinished messages under way: send fewer at a time"
            )

    def _check(self, size: int) -> None:
        limit = self._settings.max_body_bytes
        if size > limit:
            raise TooLarge(f"the message is {size} bytes long: at most {limit} are taken", limit_bytes=limit)

    def _unpacked(self, message: bytes) -> bytes:
        if not self.head.encoding:
            raise InvalidInput("a message is marked as compressed, but there is no header grpc-encoding that says how")
        return decompress(message, self.head.encoding, self._settings.max_decompressed_bytes)

    def ended(self) -> None:
        """All of the request has come."""
        if self.over:
            return
        if self._buffer:
            self._break_off(InvalidInput(f"the last message was cut: it ended after {len(self._buffer)} bytes"))
        else:
            self.on_end()

    def gone(self) -> None:
        """Nobody waits any more."""
        if not self.over:
            on_gone = self.on_gone
            self._finish()
            on_gone()

    def writable(self) -> None:
        """All that waited for the caller to take it has left."""
        self.on_room()

    def _break_off(self, error: ServableError) -> None:
        """The rest of the request cannot be read."""
        on_gone = self.on_gone
        self.fail(error)
        on_gone()

    # ---- the answer

    def reply(self, message: bytes) -> None:
        """The one answer, and success."""
        if not self.over:
            self._finish()
            self.stream.write(self._head(), PREFIX.pack(0, len(message)) + message, SUCCESS)

    def send(self, message: bytes) -> None:
        """One answer of several."""
        if not self.over:
            self.stream.write(self._head(), PREFIX.pack(0, len(message)) + message)

    def succeed(self) -> None:
        """No more answers; all went well."""
        if not self.over:
            self._finish()
            self.stream.write(self._head(), b"", SUCCESS)

    def fail(self, error: ServableError, request_id: str = "") -> None:
        """No more answers: this went wrong."""
        self.end(status_of(error, request_id))

    def end(self, status: Status) -> None:
        """No more answers, with this status."""
        if self.over:
            return
        self._finish()
        if not self.head.is_grpc:
            self.stream.write(NOT_GRPC, status.text.encode(), status.trailers)
        elif self._started:
            self.stream.write(None, b"", status.trailers)
        else:
            self.stream.write(None, b"", RESPONSE + status.trailers)

    def _head(self) -> bytes | None:
        if self._started:
            return None
        self._started = True
        return RESPONSE

    def _finish(self) -> None:
        self.over = True
        self.stream.connection.held_bytes -= len(self._buffer)
        self._buffer.clear()
        self.on_message = _no_message  # what they hold refers to this call: it shall not wait for the collector
        self.on_end = self.on_gone = self.on_room = _nothing


def _nothing() -> None:
    return


def _no_message(_message: bytes) -> None:
    return
