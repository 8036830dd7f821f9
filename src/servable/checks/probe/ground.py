"""Ground: what is known of a model's inputs: rows like those of training, each column's values, and the typical row."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from servable.bundles.profile import profile_of, read_profile
from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.columns import column_names, columns, with_column
from servable.domain.field import Field
from servable.domain.profile import Column
from servable.domain.signature import Signature

MEDIAN: Final = 50
MOST_COLUMNS: Final = 200
"""Of a wider model, this many are changed one at a time."""


class Known(NamedTuple):
    """One column: its field, what was seen in it, and its typical value: the median, or the most frequent."""

    name: str
    field: Field
    seen: Column
    typical: Any

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers that were seen."""
        return self.seen.kind == "numeric" and self.field.datatype not in {"BYTES", "BOOL"} and self.low is not None

    @property
    def low(self) -> float | None:
        return self.seen.minimum

    @property
    def high(self) -> float | None:
        return self.seen.maximum

    @property
    def spread(self) -> float:
        """From the lowest to the highest value; of a constant, its size."""
        low, high = self.low or 0.0, self.high or 0.0
        return (high - low) or abs(high) or 1.0

    def fits(self, value: float) -> bool:
        """Whether the column's datatype can hold a number."""
        if self.field.dtype.kind == "f":
            return bool(np.isfinite(np.asarray(value).astype(self.field.dtype)))
        limits = np.iinfo(self.field.dtype)
        return float(value).is_integer() and limits.min <= value <= limits.max


class Ground(NamedTuple):
    """`rows` are asked with one thing changed; `typical` is the one row that findings are shrunk towards."""

    signature: Signature
    rows: Batch
    known: dict[str, Known]
    typical: Batch

    def row(self, batch: Batch, at: int = 0) -> dict[str, Any]:
        """A row as a request has it: {column: value}, None where one is missing."""
        return {name: _plain(array[at]) for name, array in columns(batch, self.signature.inputs).items()}

    def changed(self, batch: Batch, name: str, values: Any) -> Batch:
        """The batch with other values in a column."""
        return with_column(batch, self.signature.inputs, name, values)


def ground_of(bundle: Bundle, rows: Batch, at_most: int, seed: int) -> Ground:
    """From the bundle's profile, or where it has none from the rows themselves."""
    profile = read_profile(bundle)
    seen = profile.columns if profile is not None else profile_of(rows, bundle.signature.inputs)
    values = columns(rows, bundle.signature.inputs)
    fields = {name: field for field in bundle.signature.inputs for name in column_names(field)}
    known = {
        name: Known(name, fields[name], seen[name], _typical(seen[name], values[name], fields[name]))
        for name in list(values)[:MOST_COLUMNS]
        if name in seen
    }
    index = np.sort(np.random.default_rng(seed).permutation(rows.rows)[:at_most])
    some = take(rows, index)
    typical = take(rows, np.array([0]))
    for column in known.values():
        typical = with_column(typical, bundle.signature.inputs, column.name, column.typical)
    if bundle.signature.check(typical):
        typical = take(rows, np.array([0]))
    return Ground(bundle.signature, some, known, typical)


def take(batch: Batch, index: Array) -> Batch:
    """Some rows of a batch, in this order."""
    return Batch({name: array[index] for name, array in batch.columns.items()}, len(index))


def _typical(seen: Column, values: Array, field: Field) -> Any:
    if seen.frequencies and field.datatype == "BYTES":
        return next(iter(seen.frequencies))
    if field.datatype in {"BYTES", "BOOL"} or not seen.quantiles:
        return values[0]
    return np.asarray(seen.quantiles[MEDIAN]).astype(field.dtype)


def _plain(value: Any) -> Any:
    # A float32 as the shortest text that reads back to it, not as its float64 neighbour.
    plain = float(str(value)) if isinstance(value, (np.float16, np.float32)) else value
    plain = plain.item() if hasattr(plain, "item") else plain
    if isinstance(plain, float) and math.isnan(plain):
        return None
    return plain.decode(errors="replace") if isinstance(plain, bytes) else plain
