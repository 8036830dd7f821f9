"""Profile: what the training data looked like, column by column. The reference for drift, data-edge tests and rules.

Numbers only, small and readable; `bundles/profile.py` makes one while packing. Rows themselves stand in the bundle's
reference sample, not here.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts between edges of equal distance: one edge more than counts; the last bin holds its upper edge."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Column(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One column: `count` values that were there and `missing` that were not.

    `numeric`, `date` (seconds since 1970) and `text` (length in characters) have the numbers, over the finite values:
    `quantiles` are the 0th to the 100th percentile. `categorical` has `frequencies`, the most frequent first, and the
    count of all `other`. A numeric column of few distinct values has both.
    """

    kind: Literal["numeric", "categorical", "text", "date"]
    count: int
    missing: int = 0
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    quantiles: tuple[float, ...] = ()
    histogram: Histogram | None = None
    frequencies: dict[str, int] = {}
    other: int = 0

    @property
    def missing_rate(self) -> float:
        """The share of rows without a value."""
        return self.missing / max(1, self.count + self.missing)


class Profile(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Of `rows` rows: the inputs' columns by the names that `domain/columns.py` gives them, and the model's answers.

    A field without columns (an image) stands under its own name, all its values together. `label` is the name of the
    true outcome's column and `target` what it looked like, where the sample had one.
    """

    rows: int
    columns: dict[str, Column]
    outputs: dict[str, Column] = {}
    label: str = ""
    target: Column | None = None
