"""Numerals: texts that stand for numbers, as CSV files have them, and which of their columns do.

A text that reads as a number is one; nothing, and the words for it, are missing. What a number may be is judged later,
by the Signature.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from servable.domain.signature import Signature
from servable.offline.piece import MISSING, arrow
from servable.offline.texts import texts_of

if TYPE_CHECKING:
    import pyarrow as pa

NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(inf|Infinity|INF)$"

Reasons = dict[int, list[str]]
"""Row of a block to what is wrong with it."""


def read_as(signature: Signature, key: str) -> dict[str, str]:
    """What a file of texts holds for the model: its columns of numbers, and Arrow's type of each. The key stays as it
    is written.
    """
    found: dict[str, str] = {}
    for field in signature.inputs:
        kind = "float64" if field.dtype.kind == "f" else "int64" if field.dtype.kind in "iu" else ""
        if kind and field.dtype != np.uint64:  # more than int64 holds
            found |= dict.fromkeys(field.features or (field.name,), kind)
    return {name: kind for name, kind in found.items() if name != key}


def settled(rows: pa.RecordBatch, kinds: Mapping[str, str]) -> pa.RecordBatch:
    """Good rows with the numbers that their texts stand for: the same types in all blocks, however they were read."""
    pa = arrow()
    for at, field in enumerate(rows.schema):
        if field.name in kinds and pa.types.is_binary(field.type):
            kind = kinds[field.name]
            column = numbers_of(rows.column(at), field.name, {}, whole=kind == "int64").cast(kind, safe=False)
            rows = rows.set_column(at, field.name, column)
    return rows


def numbers_of(column: Any, name: str, bad: Reasons, *, whole: bool) -> Any:
    """A column of texts as int64 or float64; rows that are no number are told, and are missing in it."""
    import pyarrow.compute as pc

    texts = utf8(column, name, bad)
    if not whole:  # what is plain and finite needs no closer look
        with contextlib.suppress(arrow().ArrowInvalid):
            plain = pc.cast(texts, arrow().float64())
            if pc.all(pc.is_finite(plain)).as_py():
                return plain
    texts = pc.utf8_trim_whitespace(texts)
    lowered = pc.utf8_lower(texts)
    truths = pc.is_in(lowered, value_set=arrow().array(["true", "false"]))
    if pc.any(truths).as_py():
        texts = pc.if_else(truths, pc.if_else(pc.equal(lowered, "true"), "1", "0"), texts)
    fits = pc.fill_null(pc.match_substring_regex(texts, NUMBER), True)
    absent = pc.is_in(texts, value_set=arrow().array(MISSING))
    for row in np.flatnonzero(np.asarray(pc.invert(pc.or_(fits, absent)))).tolist():
        bad.setdefault(row, []).append(f"{name!r}: expected a number, got {texts[row].as_py()!r:.80}")
    clean = pc.if_else(pc.and_(fits, pc.invert(absent)), texts, None)
    try:
        return pc.cast(clean, arrow().int64())  # whole numbers of 64 bits stay exact
    except arrow().ArrowInvalid:
        return pc.cast(clean, arrow().float64())


def utf8(column: Any, name: str, bad: Reasons) -> Any:
    """Bytes as text; rows that are no UTF-8 are told."""
    found, broken = texts_of(column)
    for row, value in broken.items():
        bad.setdefault(row, []).append(f"{name!r}: expected UTF-8, got {value!r:.80}")
    return found
