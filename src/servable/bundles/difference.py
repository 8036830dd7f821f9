"""How far two answers to the same rows are apart. The one measure behind the proof of a conversion and golden rows."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch

RELATIVE: Final = 1e-4
ABSOLUTE: Final = 1e-5
"""Floats are equal within ABSOLUTE + RELATIVE * |expected|: the rounding of float32 through a model, and no more."""

MAX_ROWS_NAMED: Final = 5


class Difference(msgspec.Struct, frozen=True):
    """One output compared. `largest` is the largest absolute difference of floats, or the share of rows that differ for
    labels; `rows` are the first ones that are not equal, `shown` the first such pair. Equal means: `rows` is empty.
    """

    output: str
    largest: float
    rows: tuple[int, ...] = ()
    count: int = 0
    shown: str = ""

    def __str__(self) -> str:
        if not self.count:
            return f"{self.output}: equal (largest difference {self.largest:.2g})"
        more = ", …" if self.count > len(self.rows) else ""
        return f"{self.output}: {self.count} rows differ (rows {', '.join(map(str, self.rows))}{more}): {self.shown}"


def differences(
    expected: Batch, got: Batch, relative: float = RELATIVE, absolute: float = ABSOLUTE
) -> tuple[Difference, ...]:
    """Each expected output against the one that came. Floats within the tolerance, everything else exactly."""
    return tuple(
        _compare(name, array, got.columns.get(name), relative, absolute) for name, array in expected.columns.items()
    )


def _compare(name: str, expected: Array, got: Array | None, relative: float, absolute: float) -> Difference:
    if got is None:
        return Difference(name, np.inf, (0,), len(expected), "the output is absent")
    if expected.shape != got.shape:
        return Difference(
            name, np.inf, (0,), max(1, len(expected)), f"shape {expected.shape} expected, {got.shape} came"
        )
    if expected.dtype.kind == "f" and got.dtype.kind == "f":
        wrong, largest = _floats(expected, got, relative, absolute)
    else:
        wrong = np.asarray(expected != got, dtype=bool)
        largest = float(wrong.mean()) if wrong.size else 0.0
    if not wrong.any():
        return Difference(name, largest)
    where = np.argwhere(wrong)
    first = tuple(where[0])
    rows = np.unique(where[:, 0]) if wrong.ndim else np.zeros(1, int)
    shown = f"{expected[first]} expected, {got[first]} came"
    return Difference(name, largest, tuple(rows[:MAX_ROWS_NAMED].tolist()), len(rows), shown)


def _floats(expected: Array, got: Array, relative: float, absolute: float) -> tuple[Array, float]:
    """Which values differ by more than the tolerance, and the largest difference; two NaNs are equal."""
    wide, other = expected.astype(np.float64), got.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.abs(wide - other)
    gap[(wide == other) | (np.isnan(wide) & np.isnan(other))] = 0.0
    gap[np.isnan(gap)] = np.inf
    wrong = gap > absolute + relative * np.nan_to_num(np.abs(wide), nan=0.0, posinf=0.0)
    return wrong, float(gap.max(initial=0.0))
