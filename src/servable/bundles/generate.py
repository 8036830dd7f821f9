"""Rows that a proof asks about beside the sample: mixed, at the boundaries, extreme, with a missing or an unseen value.

Made from the sample with a fixed seed: the same sample gives the same rows. Values keep the dtype of their column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.infer import is_text
from servable.bundles.sample import Table, is_frame, rows_of
from servable.domain.batch import Array

MIXED_ROWS: Final = 400
BOUNDARIES_A_COLUMN: Final = 12
MAX_COLUMNS: Final = 200
"""Of a wider table, this many columns are changed one at a time."""
UNSEEN: Final = ("a value never seen", "")
FAR: Final = 1e4
"""An extreme lies this many ranges outside of what was seen."""


class Rows(msgspec.Struct, frozen=True):
    """Some rows, what is special about them, and in which column if only in one."""

    kind: str
    table: Table
    column: str | int | None = None


def generate(table: Table) -> Iterator[Rows]:
    """The sample itself, then everything made from it."""
    random = np.random.default_rng(0)
    yield Rows("sample", table)
    yield Rows("mixed", _mixed(table, random))
    numbers = [name for name in _names(table) if not _is_text(table, name) and not _is_date(table, name)]
    chosen = numbers if len(numbers) <= MAX_COLUMNS else random.choice(numbers, MAX_COLUMNS, replace=False).tolist()
    for kind, values in (("boundary", _boundaries), ("extreme", _extremes)):
        parts = [_changed(table, name, values(_values(table, name), random), random) for name in chosen]
        if parts := [part for part in parts if part is not None]:
            yield Rows(kind, _stacked(parts))
    few = rows_of(table, np.arange(min(len(table), 4)))
    for name in chosen:
        if _values(table, name).dtype.kind in "fiu":
            yield Rows("missing", _with(_as_floats(few, name), name, np.nan), name)
    for name in _names(table):
        if _is_text(table, name):
            yield Rows("missing", _with(few, name, None), name)
            for value in UNSEEN:
                yield Rows("unseen", _with(few, name, value), name)
        elif _is_date(table, name):
            yield Rows("missing", _with(few, name, None), name)


def _mixed(table: Table, random: np.random.Generator) -> Table:
    """Each column drawn on its own, so that values meet that never met."""
    count = min(MIXED_ROWS, 20 * len(table))
    index = [random.integers(0, len(table), count) for _ in _names(table)]
    if not is_frame(table):
        return np.column_stack([table[rows, at] for at, rows in enumerate(index)])
    return table.__class__(
        {name: table[name].iloc[rows].reset_index(drop=True) for name, rows in zip(table.columns, index, strict=True)}
    )


def _boundaries(values: Array, random: np.random.Generator) -> list[Any]:
    """Halfway between neighbours, where trees split, and a hair to each side."""
    known = np.unique(values[np.isfinite(values.astype(np.float64))])
    if len(known) < 2 or known.dtype.kind == "b":
        return []
    at = random.choice(len(known) - 1, min(BOUNDARIES_A_COLUMN, len(known) - 1), replace=False)
    if known.dtype.kind in "iu":
        return [int(known[i]) + 1 for i in at]
    low, high = known[at], known[at + 1]
    halves, hairs = (low + high) / 2, (high - low) / 1000
    return [value for values in (halves, halves - hairs, halves + hairs, low) for value in values.tolist()]


def _extremes(values: Array, _: np.random.Generator) -> list[Any]:
    known = values[np.isfinite(values.astype(np.float64))]
    if not len(known):
        return []
    if known.dtype.kind == "b":
        return [False, True]
    low, high = known.min().item(), known.max().item()
    if known.dtype.kind in "iu":
        return [low, high, max(low - 1, 0) if known.dtype.kind == "u" else low - 1, high + 1]
    spread = FAR * ((high - low) or 1.0)
    return [low, high, low - spread, high + spread, 0.0]


def _changed(table: Table, name: Any, values: list[Any], random: np.random.Generator) -> Table | None:
    """A row of the sample for each value, with that value in the column."""
    if not values:
        return None
    base = rows_of(table, random.integers(0, len(table), len(values)))
    return _with(base, name, values)


def _with(table: Table, name: Any, values: Any) -> Any:
    """The table with a column changed, its dtype kept."""
    if not is_frame(table):
        changed = table.copy()
        changed[:, name] = values
        return changed
    column = table[name]
    dtype = column.dtype
    if str(dtype) == "category" and values is not None and values not in column.cat.categories:
        dtype = "object"
    filled = values if isinstance(values, list) else [values] * len(table)
    return table.assign(**{name: column.__class__(filled, index=table.index, dtype=dtype)})


def _as_floats(table: Table, name: Any) -> Table:
    """The table with a column that can hold a missing number, as pandas makes it of whole numbers with a gap."""
    if not is_frame(table):
        return table if table.dtype.kind == "f" else table.astype(np.float64)
    whole = isinstance(table[name].dtype, np.dtype) and table[name].dtype.kind in "iu"
    return table.assign(**{name: table[name].astype(np.float64)}) if whole else table


def _stacked(parts: list[Any]) -> Any:
    if not is_frame(parts[0]):
        return np.concatenate(parts)
    import pandas as pd

    return pd.concat(parts, ignore_index=True)


def _names(table: Table) -> list[Any]:
    return list(table.columns) if is_frame(table) else list(range(table.shape[1]))


def _values(table: Table, name: Any) -> Array:
    if not is_frame(table):
        return np.asarray(table[:, name])
    series = table[name]
    kind = getattr(series.dtype, "kind", "O")
    if isinstance(series.dtype, np.dtype):
        return np.asarray(series.to_numpy())
    known = series.dropna()
    return np.asarray(known.to_numpy(dtype={"i": np.int64, "u": np.uint64, "b": bool}.get(kind, np.float64)))


def _is_text(table: Table, name: Any) -> bool:
    return is_frame(table) and is_text(table[name])


def _is_date(table: Table, name: Any) -> bool:
    return is_frame(table) and str(table[name].dtype).startswith("datetime64")
