"""Calibration: whether, of the rows that are told 80 %, about 80 % come true.

The error is told in its square form (ℓ2-ECE), the root of the mean square gap over bins: of a sample its plain form is
above the truth by an amount nobody knows, and has no interval that can be trusted; of the square the excess is known.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from servable.statistics.bootstrap import DRAWS
from servable.statistics.interval import LEVEL, UNKNOWN, Interval, quantile
from servable.statistics.means import Array
from servable.statistics.proportion import wilson

BINS: Final = 10


class Bin(NamedTuple):
    """Rows that were told about the same: their number, what they were told, and how many came true."""

    rows: int
    told: float
    came: Interval


class Calibration(NamedTuple):
    """The expected calibration error, the p-value of a perfectly calibrated model showing as much, and the curve."""

    error: Interval
    p_value: float
    curve: tuple[Bin, ...]


def calibration(
    came: Array, told: Array, *, bins: int = BINS, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> Calibration:
    """`came` is whether it came true, `told` with what probability; bins hold about equally many rows.

    The estimate without its excess: A. Kumar, P. Liang and T. Ma, "Verified uncertainty calibration", NeurIPS 2019. The
    interval holds all errors with which what was seen is compatible, as Wilson's does for a proportion; the test draws
    outcomes as if every probability were right: J. Bröcker and L. A. Smith, Weather and Forecasting 22 (2007).

    >>> told = np.repeat([0.2, 0.8], 500)
    >>> found = calibration(np.tile([0, 0, 0, 0, 1], 200) == (told < 0.5), told)
    >>> print(found.error, round(found.p_value, 2))
    0 [0, 0.04444] 1.0
    """
    if not len(told):
        return Calibration(UNKNOWN, float("nan"), ())
    codes = _bins(told, bins)
    rows, sums, hits = (np.bincount(codes, weights) for weights in (None, told, came))
    gaps = (hits - sums) / rows
    smoothed = (hits + 1) / (rows + 2)
    error = _interval(rows / len(told), gaps, smoothed * (1 - smoothed) / rows, level)
    spread = np.sqrt(np.bincount(codes, told * (1 - told)))
    curve = (
        Bin(int(count), float(total / count), wilson(float(true), float(count), level))
        for count, total, true in zip(rows, sums, hits, strict=True)
    )
    return Calibration(error, _p_value(gaps, rows, spread, draws, seed), tuple(curve))


def _bins(told: Array, bins: int) -> Array:
    """The bin of each row, from 0 on and none empty; equal probabilities are never parted."""
    edges = np.unique(np.quantile(told, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, told, side="left"), return_inverse=True)[1]


def _interval(shares: Array, gaps: Array, variances: Array, level: float) -> Interval:
    """Of the root of the mean square gap.

    The sum of w (d² - s) estimates the square without bias, with variance 4 Σ w² δ² s + 2 Σ w² s². The first part is
    taken as proportional to the square itself, which makes the ends the roots of a quadratic equation.
    """
    square = float(np.sum(shares * (gaps**2 - variances)))
    reach = quantile(level) ** 2
    slope = float(np.sum(shares**2 * variances))
    centre = square + 2 * reach * slope
    root = math.sqrt(max(0.0, centre**2 - square**2 + reach * 2 * float(np.sum((shares * variances) ** 2))))
    low, high = (math.sqrt(max(0.0, end)) for end in (centre - root, centre + root))
    return Interval(math.sqrt(max(0.0, square)), low, high)


def _p_value(gaps: Array, rows: Array, spread: Array, draws: int, seed: int) -> float:
    """How often outcomes drawn by the probabilities themselves show gaps as large as those seen.

    The sum of a bin's outcomes is drawn as normal: by its mean and variance, which are known.
    """
    drawn = np.random.default_rng(seed).normal(size=(draws, len(spread))) * spread / rows
    return float((1 + np.sum((drawn**2) @ rows >= gaps**2 @ rows)) / (draws + 1))
