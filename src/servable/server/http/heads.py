"""Heads: what the beginnings of inference requests say, remembered over all connections of a door.

A client's requests begin alike, byte for byte: what was parsed once need not be parsed again. The protocol asks here
before it asks its parser, and tells what the parser has found good.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from servable.server.http.infer import Asked

INFER: Final = re.compile(rb"/v2/models/([A-Za-z0-9][\w.-]{0,127})(?:/versions/([A-Za-z0-9][\w.-]{0,127}))?/infer")
KNOWN_URLS: Final = 4096
KNOWN_HEADS: Final = 1024
LONGEST_BYTES: Final = 2048
"""A longer head is not remembered."""
END: Final = b"\r\n\r\n"


class Head(NamedTuple):
    """A request's head that the parser has found good: what it asks, and how long the body behind it is."""

    name: str
    version: str | None
    asked: Asked
    length: int


class Headers(NamedTuple):
    """The headers below a request's line that the parser has found good: what they say, and the body's length."""

    asked: Asked
    length: int


class Heads:
    """Of the requests whose connection stays open and whose body comes whole: nothing else is remembered."""

    def __init__(self) -> None:
        self._headers: dict[bytes, Headers] = {}
        self._urls: dict[bytes, tuple[str, str | None] | None] = {}
        self._heads: dict[bytes, Head] = {}

    def route(self, url: bytes) -> tuple[str, str | None] | None:
        """The model and version of an inference URL; None for any other."""
        known = self._urls.get(url)
        if known is None and url not in self._urls:
            found = INFER.fullmatch(url)
            known = None
            if found:
                version = found[2].decode() if found[2] else None
                known = (found[1].decode(), version)
            if len(self._urls) >= KNOWN_URLS:
                self._urls.clear()
            self._urls[url] = known
        return known

    def find(self, data: bytes) -> tuple[Head, bytes] | None:
        """The known head that this data begins with, and the body, if the data is just these two."""
        end = data.find(END) + 4
        head = self._heads.get(data[:end])
        if head is None or len(data) != end + head.length:
            return None
        return head, data[end:]

    def find_below(self, data: bytes) -> tuple[bytes, bytes, Headers, bytes] | None:
        """Method and URL, if all below the request's line is known, and the body, if the data is just these."""
        line_end, end = data.find(b"\r\n"), data.find(END) + 4
        headers = self._headers.get(data[line_end:end])
        if headers is None or len(data) != end + headers.length:
            return None
        words = data[:line_end].split(b" ")
        if len(words) != 3 or words[2] != b"HTTP/1.1":
            return None
        return words[0], words[1], headers, data[end:]

    def remember_below(self, data: bytes, headers: Headers) -> None:
        """Keep the headers of a request that came alone, whole, and in this one piece, whatever its line said."""
        line_end, end = data.find(b"\r\n"), data.find(END) + 4
        if len(data) != end + headers.length or end > LONGEST_BYTES:
            return
        if len(self._headers) >= KNOWN_HEADS:
            self._headers.clear()
        self._headers[data[line_end:end]] = headers

    def remember(self, data: bytes, head: Head) -> None:
        """Keep the head of a request that came alone, whole, and in this one piece."""
        end = data.find(END) + 4
        if len(data) != end + head.length or end > LONGEST_BYTES:
            return
        if len(self._heads) >= KNOWN_HEADS:
            self._heads.clear()
        self._heads[data[:end]] = head
