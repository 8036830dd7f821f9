"""HTTP/2 frames: their numbers, and how they are written. Pure.

Source: RFC 9113, sections 4, 6 and 7; RFC 7541, sections 5 and 6.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first."""

HEAD: Final = struct.Struct(">IBI")
"""A frame's first nine bytes: length (24 bits) and kind (8), flags, stream."""
HEAD_BYTES: Final = HEAD.size
STREAM_MASK: Final = 0x7FFFFFFF

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
FLOW_CONTROL_ERROR: Final = 0x3
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
ENHANCE_YOUR_CALM: Final = 0xB

ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

DEFAULT_WINDOW: Final = 65_535
DEFAULT_FRAME_BYTES: Final = 16_384
LARGEST_FRAME_BYTES: Final = 2**24 - 1
LARGEST_WINDOW: Final = 2**31 - 1

_SETTING: Final = struct.Struct(">HI")
_WORD: Final = struct.Struct(">I")
_TWO_WORDS: Final = struct.Struct(">II")


class ConnectionFault(Exception):
    """The peer broke the protocol, or the peace: the connection ends with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class StreamFault(Exception):
    """The same for one stream; the others go on."""

    def __init__(self, code: int, stream: int) -> None:
        super().__init__(code, stream)
        self.code = code
        self.stream = stream


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """One frame.

    >>> frame(PING, ACK, 0, b"12345678").hex(" ", 3)
    '0000 080601 000000 003132 333435 363738'
    """
    return HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """The frame that announces them."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values))


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """Settings and their values, checked. Raises ConnectionFault."""
    if len(payload) % _SETTING.size:
        raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of a length that is no multiple of six")
    for key, value in _SETTING.iter_unpack(payload):
        if key == ENABLE_PUSH and value > 1:
            raise ConnectionFault(PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if key == INITIAL_WINDOW_SIZE and value > LARGEST_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large")
        if key == MAX_FRAME_SIZE and not DEFAULT_FRAME_BYTES <= value <= LARGEST_FRAME_BYTES:
            raise ConnectionFault(PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of range")
        yield key, value


def window_update(stream: int, increment: int) -> bytes:
    """The peer may send this many bytes more."""
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(increment))


def reset(stream: int, code: int) -> bytes:
    """The end of a stream, at once."""
    return frame(RST_STREAM, 0, stream, _WORD.pack(code))


def goaway(last_stream: int, code: int, reason: str = "") -> bytes:
    """No stream after `last_stream` is, or will be, looked at."""
    return frame(GOAWAY, 0, 0, _TWO_WORDS.pack(last_stream, code) + reason.encode()[:256])


def word(payload: bytes) -> int:
    """A payload of four bytes as a number. Raises ConnectionFault for another length."""
    if len(payload) != _WORD.size:
        raise ConnectionFault(FRAME_SIZE_ERROR, f"{len(payload)} bytes where four are expected")
    return int(_WORD.unpack(payload)[0])


def unpadded(flags: int, payload: bytes) -> bytes:
    """The payload of a DATA or HEADERS frame without its padding. Raises ConnectionFault."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def header_block(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A header block that needs no dynamic table: `:status 200` by its number, all else literally, never indexed.

    >>> header_block([(b":status", b"200"), (b"te", b"x")]).hex(" ")
    '88 00 02 74 65 01 78'
    """
    parts = []
    for name, value in headers:
        if (name, value) == (b":status", b"200"):
            parts.append(b"\x88")
        else:
            parts += [b"\x00", _length(len(name)), name, _length(len(value)), value]
    return b"".join(parts)


def _length(value: int) -> bytes:
    """An integer with a prefix of seven bits (RFC 7541, 5.1)."""
    if value < 127:
        return bytes([value])
    rest = value - 127
    out = bytearray([127])
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    out.append(rest)
    return bytes(out)
