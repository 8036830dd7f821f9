"""Examples: rows with their true outcomes, read from a file: what the model is asked, and what it is held against.

Columns that the model does not take are kept: slices may be of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from servable.bundles.answer import texts_of
from servable.bundles.tables import to_batch
from servable.domain.batch import Array, Batch
from servable.domain.columns import column_names
from servable.domain.signature import Signature
from servable.errors import InvalidInput, MissingExtra, UsageError, unreadable

FEW_VALUES: Final = 12
"""A column of numbers with more values than this is sliced at its quartiles."""
MOST_SLICES: Final = 50
FEW_AT_ONCE: Final = 2
"""Moments that fewer rows share, on average, are no groups of rows."""
QUARTILES: Final = (0.25, 0.5, 0.75)
_READERS: Final = {
    ".csv": "read_csv", ".parquet": "read_parquet", ".arrow": "read_feather", ".feather": "read_feather",
    ".json": "read_json", ".jsonl": "read_json",
}  # fmt: skip


class Slice(NamedTuple):
    """Some rows that have something in common: `region = north`."""

    name: str
    rows: Array
    """Their numbers, ascending."""


class Examples(NamedTuple):
    """`table` holds all columns, `batch` those that the model takes, `truth` the label's values where there is one.

    `sliced` keeps slices that were asked for.
    """

    table: Any
    batch: Batch
    sliced: dict[str, list[Slice]]
    truth: Any = None
    label: str = ""

    def __len__(self) -> int:
        return self.batch.rows

    def of(self, rows: Array) -> Examples:
        """Some of them."""
        batch = Batch({name: values[rows] for name, values in self.batch.columns.items()}, len(rows))
        truth = None if self.truth is None else self.truth[rows]
        return Examples(self.table.iloc[rows], batch, {}, truth, self.label)

    def slices(self, column: str) -> list[Slice]:
        """The rows by their value of a column: each value, or of many numbers each quarter. Raises UsageError."""
        if column not in self.sliced:
            self.sliced[column] = list(_slices(self._column(column, "slice by"), column))
        return self.sliced[column]

    def clusters(self, column: str) -> Array:
        """A code for each value of a column, one a row; missing is one of them. Of moments that hardly any two rows
        share, a code for each stretch of time. Raises UsageError.
        """
        values = self._column(column, "find clusters by")
        moments = _moments(values)
        if moments is not None and len(np.unique(moments)) * FEW_AT_ONCE > len(moments):
            return _stretches(moments)
        texts = np.asarray(texts_of(values.to_numpy()))
        return np.asarray(np.unique(texts, return_inverse=True)[1])

    def _column(self, column: str, purpose: str) -> Any:
        if column not in self.table.columns:
            near = _nearest(column, map(str, self.table.columns))
            raise UsageError(f"there is no column {column!r} to {purpose}: {near}")
        return self.table[column]


def read_examples(path: Path, signature: Signature, label: str | None) -> Examples:
    """Rows of a csv, parquet, arrow, json or jsonl file. Raises UsageError, InvalidInput, EnvironmentFault,
    MissingExtra.
    """
    return examples_of(read_table(path, signature), signature, label, path.name)


def examples_of(table: Any, signature: Signature, label: str | None, source: str = "the data") -> Examples:
    """The same of a DataFrame."""
    names = [str(name) for name in table.columns]
    taken = {name for field in signature.inputs for name in field.features or (field.name,)}
    if label is not None and label not in names:
        raise UsageError(f"{source} has no column {label!r} for the label: {_nearest(label, names)}")
    if label is not None:
        gaps = np.flatnonzero(table[label].isna().to_numpy())
        if len(gaps):
            raise UsageError(f"{source}: {len(gaps)} rows have no {label!r} (first row {gaps[0]}): leave them out")
    if not len(table):
        raise UsageError(f"{source} has no rows")
    batch = signature.complete(to_batch(table[[name for name in table.columns if name in taken]], signature))
    if faults := [str(fault) for fault in signature.check(batch)]:
        raise InvalidInput(f"{source} breaks the model's contract: {'; '.join(faults)}", faults=faults)
    return Examples(table, batch, {}, None if label is None else _values(table[label]), label or "")


def read_table(path: Path, signature: Signature) -> Any:
    """A file as a DataFrame; what is text to the model stays as it is written."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"cannot read rows from {str(path)!r}: expected one of {', '.join(_READERS)}")
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra("check", f"read {path.name!r}", missing=error.name) from error
    texts = {name for field in signature.inputs if field.datatype == "BYTES" for name in column_names(field)}
    options: dict[str, Any] = {}
    if path.suffix.lower() == ".csv":
        options = {"dtype": dict.fromkeys(texts, str), "keep_default_na": True}
    elif path.suffix.lower() in {".json", ".jsonl"}:
        # JSON says itself what is text.
        options = {"lines": path.suffix.lower() == ".jsonl", "dtype": False}
    try:
        return getattr(pd, reader)(path, **options)
    except ImportError as error:
        raise MissingExtra("check", f"read {path.name!r}", missing=error.name) from error
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:
        raise UsageError(f"{str(path)!r} does not hold rows: {error}") from error


def _values(series: Any) -> Array:
    """The label's values; numbers as numpy has them, however the table stores them."""
    if series.dtype.kind in "iuf" and not isinstance(series.dtype, np.dtype):
        return np.asarray(series.to_numpy(np.float64 if series.dtype.kind == "f" else np.int64))
    return np.asarray(series.to_numpy())


def _moments(series: Any) -> Array | None:
    """A column of dates and times as numbers; None for any other, and where one is missing."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(series):
        if series.dtype.kind in "fiub" or not len(series):
            return None
        try:
            series = pd.to_datetime(series, format="ISO8601", utc=True)
        except (ValueError, TypeError):
            return None
    return None if series.isna().any() else np.asarray(series.to_numpy("datetime64[ns]").astype(np.int64))


def _stretches(moments: Array) -> Array:
    """Rows that follow each other: n^(1/3) in each stretch, as P. Hall, J. L. Horowitz and B.-Y. Jing advise
    (Biometrika 82, 1995), in blocks that do not overlap (E. Carlstein, Annals of Statistics 14, 1986).
    """
    length = max(1, round(len(moments) ** (1 / 3)))
    codes = np.empty(len(moments), np.int64)
    codes[np.argsort(moments, kind="stable")] = np.arange(len(moments)) // length
    return codes


def _slices(series: Any, column: str) -> Iterator[Slice]:
    missing = series.isna().to_numpy()
    known = np.flatnonzero(~missing)
    values = series.to_numpy()[known]
    if series.dtype.kind in "fiu" and len(np.unique(values)) > FEW_VALUES:
        yield from _quarters(values.astype(np.float64), known, column)
    else:
        texts, codes = np.unique(np.array(texts_of(values), dtype=object).astype(str), return_inverse=True)
        common = np.argsort(-np.bincount(codes, minlength=len(texts)), kind="stable")[:MOST_SLICES]
        for at in sorted(common):
            yield Slice(f"{column} = {texts[at]}", known[codes == at])
        if len(texts) > len(common):
            yield Slice(f"{column}: the {len(texts) - len(common)} other values", known[~np.isin(codes, common)])
    if missing.any():
        yield Slice(f"{column} is missing", np.flatnonzero(missing))


def _quarters(values: Array, known: Array, column: str) -> Iterator[Slice]:
    edges = np.unique(np.quantile(values, QUARTILES))
    codes = np.searchsorted(edges, values, side="left")
    for code in range(len(edges) + 1):
        rows = known[codes == code]
        if len(rows):
            low = f"{edges[code - 1]:.4g} < " if code else ""
            high = f" ≤ {edges[code]:.4g}" if code < len(edges) else ""
            yield Slice(f"{low}{column}{high}", rows)


def _nearest(name: str, known: Any) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else f"columns are {', '.join(map(repr, names[:30]))}"
