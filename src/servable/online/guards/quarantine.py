"""Quarantine: examples that are not learned, and why, in a file for people: a JSON object a line. Nothing is dropped.

What the fold undid stands there once, however often it is replayed: each is known by its number among the learned. At
64 MiB the file gives way to a fresh one, and is kept as `.1`.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from servable.domain.batch import Array, Batch

FILE_BYTES: Final = 64 * 1024 * 1024

logger = logging.getLogger("servable.online")


class Quarantine:
    """The file at `path`. `counts` are of this process, by reason: of what was turned away before the journal."""

    def __init__(self, path: Path, file_bytes: int = FILE_BYTES) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._file_bytes = file_bytes
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._known = max((line["number"] for line in read(path) if line["number"] is not None), default=-1)

    def undone(self, number: int, batch: Batch, outcomes: Array, reason: str) -> None:
        """Examples that the fold undid, from this number on."""
        first = max(self._known + 1 - number, 0)
        if first < batch.rows:
            self._known = number + batch.rows - 1
            lines = _lines(batch, outcomes, reason)
            self._write([line | {"number": number + row} for row, line in enumerate(lines)][first:])

    def turned_away(
        self, time: float, source: str, ids: tuple[str, ...], batch: Batch, outcomes: Array, reason: str
    ) -> None:
        """Examples that were not accepted."""
        self.counts[reason] += batch.rows
        lines = _lines(batch, outcomes, reason)
        known = {"time": time, "source": source}
        self._write([line | known | {"id": key} for key, line in zip(ids, lines, strict=True)])

    def _write(self, lines: list[dict[str, Any]]) -> None:
        data = b"".join(orjson.dumps(line, default=str) + b"\n" for line in lines)
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            try:
                os.write(file, data)
                if os.fstat(file).st_size >= self._file_bytes:
                    self.path.replace(self.path.with_suffix(f"{self.path.suffix}.1"))
            finally:
                os.close(file)
        except OSError as error:
            logger.warning("the quarantine %s cannot be written: %s", self.path, error.strerror)


def read(path: Path) -> list[dict[str, Any]]:
    """What is in quarantine. A line that a crash cut short is passed over."""
    found = []
    if path.exists():
        for line in path.read_bytes().splitlines():
            try:
                found.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                continue
    return found


def _lines(batch: Batch, outcomes: Array, reason: str) -> list[dict[str, Any]]:
    """One a row, with the places of what is known of it left empty."""
    return [
        {
            "reason": reason,
            "number": None,
            "time": None,
            "source": None,
            "id": None,
            "inputs": {name: _plain(values[row]) for name, values in batch.columns.items()},
            "outcome": _plain(outcomes[row]),
        }
        for row in range(batch.rows)
    ]


def _plain(value: Any) -> Any:
    """As JSON can hold it: numbers that it cannot are texts."""
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value.tolist()]
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
