"""Task: parts of a job, done on a machine of the cluster by a worker like those of a single machine.

The files that the worker makes go back in chunks, and are removed here. A part may be done twice, with equal bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from servable.domain.problem import Problem
from servable.errors import ServableError
from servable.offline.cluster import parcel
from servable.offline.hand import Hand
from servable.offline.order import Failed, Part, Scored
from servable.offline.piece import arrow

CHUNK_BYTES: Final = 8 << 20


class Chunk(NamedTuple):
    """Bytes of one of a part's files, by its path in the worker's folder; without a path the report, which is last."""

    part: int
    path: str
    at: int
    content: bytes


class Task:
    """One worker, its folder, and the parcel that was unpacked here."""

    def __init__(self, unpacked: Path, folder: Path) -> None:
        self._unpacked = unpacked
        self._folder = folder
        self._hand: Hand | None = None

    def do(self, part: Part) -> Iterator[Chunk]:
        """A part's files, then its report. What fails is the report."""
        try:
            if self._hand is None:
                self._hand = Hand(parcel.read(self._unpacked, self._folder))
            scored = self._hand.do(part)
            files = {str(Path(path).relative_to(self._folder)): size for path, size in scored.files.items()}
            for path in files:
                yield from _chunks(part.number, self._folder, path)
            report: Scored | Failed = msgspec.structs.replace(scored, files=files)
        except ServableError as error:
            self.close()
            report = Failed(Problem.of(error))
        except Exception as error:  # noqa: BLE001 - the wall: whoever waits must hear of it, in words and not in a trace
            self.close()
            report = Failed(Problem(ServableError.code, f"{type(error).__name__}: {error}"))
        yield Chunk(part.number, "", 0, msgspec.json.encode(report))
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Let the worker go; the next part gets another."""
        if self._hand is not None:
            self._hand.close()
            self._hand = None


def _chunks(part: int, folder: Path, path: str) -> Iterator[Chunk]:
    with (folder / path).open("rb") as file:
        at = 0
        while content := file.read(CHUNK_BYTES):
            yield Chunk(part, path, at, content)
            at += len(content)


def schema() -> Any:
    """Chunks as Arrow has them."""
    pa = arrow()
    return pa.schema([("part", pa.int64()), ("path", pa.string()), ("at", pa.int64()), ("content", pa.binary())])


def as_batch(chunk: Chunk) -> Any:
    """One chunk as a batch of one row."""
    return arrow().RecordBatch.from_pylist([chunk._asdict()], schema=schema())


def of_batch(batch: Any) -> Iterator[Chunk]:
    """The chunks in a batch or a table."""
    for row in batch.to_pylist():
        yield Chunk(row["part"], row["path"], row["at"], row["content"])
