"""The receiving side of an HTTP/2 connection: bytes to frames, and header blocks to what a service reads in them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from servable.server.http2.frames import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    HEAD,
    HEAD_BYTES,
    PREFACE,
    STREAM_MASK,
    ConnectionFault,
)

MAX_FRAME_BYTES: Final = 1024 * 1024
"""Longest frame taken: tensors come in few."""
MEMO_SIZE: Final = 64
MEMO_BYTES: Final = 1024
"""Header blocks remembered by a connection, and how long each may be."""
SIZE_UPDATE: Final = 0x20
"""How a header block begins that resizes the dynamic table: 001 in its first three bits (RFC 7541, 6.3)."""

Frame = tuple[int, int, int, bytes]
"""Kind, flags, stream, payload."""


class NotHttp2(Exception):
    """The peer does not begin as an HTTP/2 client does; `plain` if it may be speaking HTTP/1."""

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self.plain = plain


class Frames:
    """Cuts what arrives into frames. A piece of a frame waits here, uncopied, until the rest has come."""

    def __init__(self) -> None:
        self.greeted = False
        """The preface has come."""
        self._partial = bytearray()
        self._missing = len(PREFACE)

    @property
    def partial(self) -> bool:
        """A frame has begun to arrive, and not ended."""
        return bool(self._partial)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now; to be exhausted, unless the connection ends.

        Raises ConnectionFault, NotHttp2.
        """
        if self._partial:
            self._partial += data
            if len(self._partial) < self._missing:
                return
            data = bytes(self._partial)
            self._partial.clear()
        position = 0
        end = len(data)
        if not self.greeted:
            if not data.startswith(PREFACE[:end]):
                raise NotHttp2(plain=data[:1].isalpha())
            if end < len(PREFACE):
                self._partial += data
                return
            self.greeted = True
            position = len(PREFACE)
        self._missing = HEAD_BYTES
        while end - position >= HEAD_BYTES:
            word, flags, number = HEAD.unpack_from(data, position)
            length = word >> 8
            if length > MAX_FRAME_BYTES:
                raise ConnectionFault(
                    FRAME_SIZE_ERROR, f"a frame of {length} bytes: at most {MAX_FRAME_BYTES} are taken"
                )
            start = position + HEAD_BYTES
            if start + length > end:
                self._missing = HEAD_BYTES + length
                break
            position = start + length
            yield word & 0xFF, flags, number & STREAM_MASK, data[start:position]
        if position < end:
            self._partial += memoryview(data)[position:]


class _Table(HeaderTable):
    """HPACK's dynamic table, which counts its changes."""

    changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)


class Headers:
    """Decodes header blocks, and remembers what `read` made of them: clients send the same ones again and again.

    A block means the same as long as the dynamic table does not change; when it does, all is forgotten.
    """

    def __init__(self, read: Callable[[list[tuple[bytes, bytes]]], Any], max_bytes: int) -> None:
        self._read = read
        self._decoder = Decoder(max_header_list_size=max_bytes)
        self._decoder.header_table = self._table = _Table()
        self._memo: dict[bytes, Any] = {}

    def decode(self, block: bytes) -> Any:
        """What `read` gives for these headers, or the ValueError that it raised. Raises ConnectionFault."""
        head = self._memo.get(block)
        if head is not None:
            return head
        before = self._table.changes
        try:
            headers = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError as error:
            raise ConnectionFault(ENHANCE_YOUR_CALM, str(error)) from error
        except (HPACKError, IndexError, struct.error) as error:
            raise ConnectionFault(COMPRESSION_ERROR, "the headers cannot be decoded") from error
        try:
            head = self._read(headers)
        except ValueError as error:
            head = error
        if self._table.changes != before or (block and block[0] & 0xE0 == SIZE_UPDATE):
            self._memo.clear()
        elif len(self._memo) < MEMO_SIZE and len(block) <= MEMO_BYTES:
            self._memo[block] = head
        return head
