"""Standard input and output: a line a message. What is written is flushed before the next is read."""

from __future__ import annotations

import select
from collections.abc import Sequence
from io import RawIOBase
from typing import BinaryIO, Final

from servable.errors import TooLarge
from servable.offline.stream.pipe import Received

LONGEST_LINE: Final = 16 << 20
WAIT_S: Final = 0.2


class Lines:
    """A `Pipe`. A message's id is the number of its line."""

    def __init__(self, source: RawIOBase, target: BinaryIO) -> None:
        """`source` is unbuffered: what waits in a buffer would not be seen to wait."""
        self._source = source
        self._target = target
        self._partial = b""
        self._number = 0
        self._ended = False

    def take(self, most: int) -> list[Received] | None:  # noqa: ARG002 - what has been read cannot be put back
        if self._ended:
            return None
        ready, _, _ = select.select([self._source], [], [], WAIT_S)
        if not ready:
            return []
        data = self._source.read(1 << 20)
        if data is None:
            return []
        self._ended = not data
        *lines, self._partial = (self._partial + data).split(b"\n")
        if self._ended and self._partial:
            lines.append(self._partial)
        if len(self._partial) > LONGEST_LINE:
            raise TooLarge(f"line {self._number + len(lines) + 1} is longer than {LONGEST_LINE} bytes")
        received = []
        for line in lines:
            self._number += 1
            if line.strip():
                received.append(Received(str(self._number), line))
        return received or (None if self._ended else [])

    def answer(self, received: Sequence[Received], answers: Sequence[bytes]) -> None:  # noqa: ARG002 - none to acknowledge
        self._target.write(b"".join([answer + b"\n" for answer in answers]))
        self._target.flush()

    def close(self) -> None:
        """Both ends are others'."""
