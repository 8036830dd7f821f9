"""JsonLines: records appended to a file, one JSON object a line. To look at, or to feed to whatever reads lines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from servable.domain.batch import Batch
from servable.domain.record import Record

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


class JsonLines:
    """A sink. The file is made with mode 0600: inputs may be personal."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Several doors append to one file: O_APPEND keeps each block whole.
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, records: Sequence[Record]) -> None:
        data = b"".join([orjson.dumps(_plain(record), option=_OPTIONS, default=_text) for record in records])
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        os.close(self._file)


def _plain(record: Record) -> dict[str, Any]:
    return record._asdict() | {"inputs": _columns(record.inputs), "outputs": _columns(record.outputs)}


def _columns(batch: Batch | None) -> dict[str, Any] | None:
    if batch is None:
        return None
    return {
        name: array.tolist() if array.dtype == object or not array.flags.c_contiguous else array
        for name, array in batch.columns.items()
    }


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
