"""JsonLines: records appended to a file, one JSON object a line. To look at, or to feed to whatever reads lines.

The numbers of all records of a call become text at once, and are cut into the lines; so a record costs about what its
text does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from servable.domain.batch import Batch
from servable.domain.record import Record, Records
from servable.wire.row_texts import row_texts

PIECE_BYTES: Final = 1 << 16
"""Written at once, or a little more. While the kernel writes, the interpreter is free for those who answer."""

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


class JsonLines:
    """A sink. The file is made with mode 0600: inputs may be personal."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Several doors append to one file: O_APPEND keeps each piece whole.
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @staticmethod
    def at(path: str) -> JsonLines | None:
        """The file that a setting names, if it names one. Raises OSError."""
        return JsonLines(Path(path).expanduser()) if path else None

    def write(self, calls: Sequence[Records]) -> None:
        piece: list[bytes] = []
        size = 0
        for records in calls:
            lines = _lines(records)
            piece.append(lines)
            size += len(lines)
            if size >= PIECE_BYTES:
                self._append(b"".join(piece))
                piece, size = [], 0
        self._append(b"".join(piece))

    def close(self) -> None:
        os.close(self._file)

    def append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Lines as they stand, of what was answered elsewhere."""
        self._append(b"".join(orjson.dumps(line, option=_OPTIONS) for line in lines))

    def _append(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


def _lines(records: Records) -> bytes:
    """The lines of records that shared a call."""
    inputs, outputs = _texts(records.inputs), _texts(records.outputs)
    if inputs is None or outputs is None or records.fired:
        return b"".join([orjson.dumps(_plain(one), option=_OPTIONS, default=_text) for one in records])
    stated = [records.model, records.version, records.time, records.compute_s, records.error]
    model, version, time, compute_s, error = (orjson.dumps(value).replace(b"%", b"%%") for value in stated)
    template = b"".join(
        (
            b'{"id":%b,"model":', model, b',"version":', version, b',"time":', time, b',"rows":%d,"queue_s":%b,',
            b'"compute_s":', compute_s, b',"inputs":', _places(records.inputs),
            b',"outputs":', _places(records.outputs), b',"error":', error, b"}\n",
        )
    )  # fmt: skip
    ids = map(orjson.dumps, records.ids)
    waits = orjson.dumps(records.queue_s)[1:-1].split(b",")
    columns = [_parts(texts, end, records) for texts, end in (*inputs, *outputs)]
    return b"".join([template % line for line in zip(ids, records.rows, waits, *columns, strict=True)])


def _texts(batch: Batch | None) -> list[tuple[list[bytes], bytes]] | None:
    """The rows of each column as JSON, and what stands between two; None where some column is not of plain numbers."""
    found = []
    for array in () if batch is None else batch.columns.values():
        texts = row_texts(array, gaps=True)
        if texts is None:
            return None
        found.append((texts, b"," if array.ndim == 1 else b"],["))
    return found


def _places(batch: Batch | None) -> bytes:
    """A JSON object with a place for the values of each column; `null` for no batch."""
    if batch is None:
        return b"null"
    columns = [
        (b"%b:[%%b]" if array.ndim == 1 else b"%b:[[%%b]]") % orjson.dumps(name).replace(b"%", b"%%")
        for name, array in batch.columns.items()
    ]
    return b"{%b}" % b",".join(columns)


def _parts(texts: list[bytes], between: bytes, records: Records) -> list[bytes]:
    """The text of each record's own rows."""
    if len(texts) == len(records):
        return texts
    return [between.join(texts[start : start + rows]) for start, rows in zip(records.starts, records.rows, strict=True)]


def _plain(record: Record) -> dict[str, Any]:
    plain = record._asdict() | {"inputs": _columns(record.inputs), "outputs": _columns(record.outputs)}
    fired = plain.pop("fired")
    return plain | {"rules": {each.rule.name: str(each) for each in fired}} if fired else plain


def _columns(batch: Batch | None) -> dict[str, Any] | None:
    if batch is None:
        return None
    return {
        name: array.tolist() if array.dtype == object or not array.flags.c_contiguous else array
        for name, array in batch.columns.items()
    }


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
