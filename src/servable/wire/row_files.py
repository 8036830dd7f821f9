"""Rows from a file, as a request would carry them: {column: value}, None where a value is missing.

CSV says nothing of types: a column that is text to the model stays as written; elsewhere what reads as a number is one.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

from servable.domain.signature import Signature
from servable.errors import MissingExtra, UsageError, unreadable

Row = dict[str, Any]


def texts_of(signature: Signature) -> frozenset[str]:
    """The columns that are text to a model."""
    texts = [field for field in signature.inputs if field.datatype == "BYTES"]
    return frozenset(name for field in texts for name in field.features or (field.name,))


def read_rows(path: Path, texts: Collection[str] = ()) -> list[Row]:
    """All rows of a csv, jsonl, parquet or arrow file, or of a json file that holds a list of them.

    `texts` are the columns that are text to the model. Raises UsageError (content), EnvironmentFault, MissingExtra.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"cannot read rows from {str(path)!r}: expected one of {', '.join(_READERS)}")
    try:
        return reader(path, texts)
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{str(path)!r} does not hold rows: {error}") from error


def _csv(path: Path, texts: Collection[str]) -> list[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"line {reader.line_num} has not as many values as there are headings")
            rows.append({name: _value(text, keep=name in texts) for name, text in row.items()})
    return rows


def _value(text: str, *, keep: bool) -> Any:
    """One cell. Nothing is a missing value.

    >>> [_value(text, keep=False) for text in ("", "7", "7.5", "1e3", "true", "x")]
    [None, 7, 7.5, 1000.0, True, 'x']
    """
    if not text:
        return None
    if keep or "_" in text:  # Python reads 1_000 as a number; nobody else does
        return text
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return None if math.isnan(value) else text if math.isinf(value) else value
    return {"true": True, "false": False}.get(text.lower(), text)


def _json(path: Path, texts: Collection[str]) -> list[Row]:  # noqa: ARG001 - JSON says itself what is text
    return _checked(json.loads(path.read_text(encoding="utf-8")))


def _jsonl(path: Path, texts: Collection[str]) -> list[Row]:  # noqa: ARG001 - as above
    with path.open(encoding="utf-8") as file:
        return _checked([json.loads(line) for line in file if line.strip()])


def _checked(rows: Any) -> list[Row]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("expected objects, one a row: [{column: value}, ...]")
    return rows


def _parquet(path: Path, texts: Collection[str]) -> list[Row]:  # noqa: ARG001 - as above
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("pack", f"read {path.name!r}", missing=error.name) from error
    return _plain(parquet.read_table(path).to_pylist())


def _arrow(path: Path, texts: Collection[str]) -> list[Row]:  # noqa: ARG001 - as above
    try:
        from pyarrow import feather
    except ImportError as error:
        raise MissingExtra("pack", f"read {path.name!r}", missing=error.name) from error
    return _plain(feather.read_table(path).to_pylist())


def _plain(rows: list[Row]) -> list[Row]:
    """With dates as ISO 8601 and NaN as None, as JSON has them."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and math.isnan(value):
            return None
        return value.isoformat() if hasattr(value, "isoformat") else value

    return [{name: plain(value) for name, value in row.items()} for row in rows]


_READERS: Final[dict[str, Callable[[Path, Collection[str]], list[Row]]]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
}
