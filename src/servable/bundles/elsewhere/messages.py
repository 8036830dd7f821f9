"""What is said to a process that opens a model elsewhere, and what it answers: msgpack behind its length. No pickle."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO, Final

import msgspec

from servable.bundles.convert_lite import Narrowed
from servable.bundles.elsewhere.table import Given
from servable.domain.batch import Batch
from servable.domain.problem import Problem
from servable.domain.runtime import Inspection
from servable.wire import frames

LENGTH: Final = struct.Struct("<Q")
LARGEST_BYTES: Final = 1 << 34
CHUNK: Final = 1 << 22


class Rows(msgspec.Struct, frozen=True):
    """A batch, as a message: the frame that doors and model processes use."""

    frame: bytearray

    @staticmethod
    def of(batch: Batch) -> Rows:
        """The batch as a message."""
        return Rows(bytearray(b"").join(frames.batch(frames.CALL, 0, batch, None)[0]))

    def batch(self) -> Batch:
        """The message as a batch. Raises BadFrame."""
        whole = memoryview(self.frame)
        _, head, body, _, _ = frames.HEADER.unpack_from(whole)
        start = frames.HEADER.size
        rest = whole[start + head : start + head + body]
        return frames.read_batch(whole[start : start + head], rest, None, copy=False)[0]


class Declare(msgspec.Struct, frozen=True, tag=True):
    """What does the model at `path` take and give? `known` is what a sample told, `rows` are its own."""

    format: str
    path: str
    known: Inspection | None = None
    rows: Rows | None = None


class Make(msgspec.Struct, frozen=True, tag=True):
    """Make a bundle's draft of the file at `path`, as `pack` would: `to` what, with this sample and its label."""

    format: str
    path: str
    name: str
    to: str
    given: Given | None = None
    label: str = ""


class ToLite(msgspec.Struct, frozen=True, tag=True):
    """Make a TFLite file, with one signature of that name, of the model at `path`: narrowed so, by these rows."""

    format: str
    path: str
    signature: str
    narrowed: Narrowed = ""
    rows: Rows | None = None


class Open(msgspec.Struct, frozen=True, tag=True):
    """Load the bundle or bare model there, and hold it against its golden rows."""

    source: str
    name: str | None = None
    device: str = "cpu"


class Predict(msgspec.Struct, frozen=True, tag=True):
    """Ask the model that was loaded last."""

    rows: Rows


class Opened(msgspec.Struct, frozen=True):
    """What was loaded: its manifest as TOML, and where it lies."""

    manifest: str
    folder: str
    digest: str
    inferred: bool


class Made(msgspec.Struct, frozen=True):
    """A draft: its manifest as TOML, files that were made, and those that are kept, by their path in the bundle."""

    manifest: str
    made: dict[str, bytes]
    kept: dict[str, str]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it; first of all the layers of the sandbox."""

    layers: tuple[str, ...] = ()
    seen: Inspection | None = None
    opened: Opened | None = None
    made: Made | None = None
    file: bytes | None = None
    rows: Rows | None = None
    problem: Problem | None = None


Question = Declare | Make | ToLite | Open | Predict

_encode = msgspec.msgpack.Encoder().encode
read_question = msgspec.msgpack.Decoder(Question).decode
read_answer = msgspec.msgpack.Decoder(Answer).decode


def say(stream: BinaryIO, message: Any) -> None:
    """Send a message. Raises OSError."""
    data = _encode(message)
    stream.write(LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def hear(stream: BinaryIO) -> bytearray | None:
    """The next message; None where there is none any more. Raises OSError, EOFError for half of one."""
    head = stream.read(LENGTH.size)
    if not head:
        return None
    if len(head) < LENGTH.size or (left := LENGTH.unpack(head)[0]) > LARGEST_BYTES:
        raise EOFError
    data = bytearray()
    while left:  # memory is taken as bytes come, not as the other side promises
        piece = stream.read(min(left, CHUNK))
        if not piece:
            raise EOFError
        data += piece
        left -= len(piece)
    return data
