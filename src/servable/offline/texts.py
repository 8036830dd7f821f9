"""Texts: a column of bytes as text, and which rows are none. What is said of those rows is their reader's matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from servable.offline.piece import arrow

if TYPE_CHECKING:
    import pyarrow as pa


class Texts(NamedTuple):
    """A text for each row, null where there was nothing or `broken` bytes, which are no UTF-8, by their row."""

    column: pa.Array
    broken: dict[int, bytes]


def texts_of(column: pa.Array) -> Texts:
    """A column of bytes, or of texts of whatever kind, as texts."""
    pa = arrow()
    try:
        return Texts(column.cast(pa.string()), {})
    except pa.ArrowInvalid:
        found: list[str | None] = []
        broken: dict[int, bytes] = {}
        for row, value in enumerate(column.to_pylist()):
            try:
                found.append(None if value is None else value.decode())
            except UnicodeDecodeError:
                broken[row] = value
                found.append(None)
        return Texts(pa.array(found, pa.string()), broken)
