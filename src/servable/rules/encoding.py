"""Encoding: columns of any kind as numbers that distances can be measured between, learned from the training data.

A number is told in standard deviations from its mean, and a missing one as the mean: whether it may be missing is
another rule's. A category is told by how surprising it is (minus the logarithm of its share, in bits): rare ones lie
far out, and those never seen farthest. Texts of many values are told by their length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from servable.domain.batch import Array

MANY: Final = 200
"""Distinct texts from which on a column is no category."""
FARTHEST: Final = float(np.finfo(np.float32).max)
"""Where infinity stands, that distances can be counted with."""


class Scale(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A column: its mean and standard deviation, of a category's surprise where `bits` tells that of each value, and of
    texts' lengths where `text` is set. `strange` is the surprise of a category that was never seen.
    """

    mean: float
    std: float
    bits: dict[str, float] = {}
    strange: float = 0.0
    text: bool = False

    @staticmethod
    def of(values: Array) -> Scale:
        """Learn it. `values` are float64 with NaN, or texts with None."""
        if values.dtype != object:
            return Scale(*_moments(values))
        known = [str(value) for value in values if value is not None]
        names, counts = np.unique(np.asarray(known, str), return_counts=True)
        if not len(names) or len(names) > MANY or 2 * len(names) > len(known):
            text = Scale(0.0, 1.0, text=True)
            return msgspec.structs.replace(
                text, **dict(zip(("mean", "std"), _moments(text.numbers(values)), strict=True))
            )
        shares = counts / (len(known) + 1)
        bits = {str(name): float(-np.log2(share)) for name, share in zip(names, shares, strict=True)}
        plain = Scale(0.0, 1.0, bits, float(np.log2(len(known) + 1)))
        return msgspec.structs.replace(
            plain, **dict(zip(("mean", "std"), _moments(plain.numbers(values)), strict=True))
        )

    def numbers(self, values: Array) -> Array:
        """The values as this column's numbers, before they are scaled."""
        if values.dtype != object:
            return values
        absent = np.nan
        if self.text:
            return np.array([absent if value is None else float(len(value)) for value in values], np.float64)
        return np.array([absent if v is None else self.bits.get(str(v), self.strange) for v in values], np.float64)


class Encoding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of a distance by name, in order."""

    columns: dict[str, Scale]

    @staticmethod
    def of(columns: Mapping[str, Array]) -> Encoding:
        """Learn it from the training data, a column a name."""
        return Encoding({name: Scale.of(values) for name, values in columns.items()})

    def __call__(self, columns: Mapping[str, Array]) -> Array:
        """Rows as numbers [rows, columns], each in standard deviations from its column's mean; 0 for a missing one."""
        scales = self.columns.values()
        raw = np.array([scale.numbers(columns[name]) for name, scale in self.columns.items()], np.float64)
        means, stds = (np.array([[getattr(scale, name)] for scale in scales]) for name in ("mean", "std"))
        with np.errstate(over="ignore"):
            scaled = np.clip((raw - means) / stds, -FARTHEST, FARTHEST)
        return np.asarray(np.where(np.isnan(scaled), 0.0, scaled).T)


def _moments(values: Array) -> tuple[float, float]:
    """Mean and standard deviation of what is there; 1 for a column that never varies."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    spread = float(np.std(known))
    return float(np.mean(known)), spread if spread > 1e-12 * max(1.0, float(np.max(np.abs(known)))) else 1.0
