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
    came: Array,
    told: Array,
    *,
    bins: int = BINS,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
    clusters: Array | None = None,
) -> Calibration:
    """`came` is whether it came true, `told` with what probability; bins hold about equally many rows. `clusters` are
    codes, one a row, where rows are not independent.

    The estimate without its excess: A. Kumar, P. Liang and T. Ma, "Verified uncertainty calibration", NeurIPS 2019. The
    interval holds all errors with which what was seen is compatible, as Wilson's does for a proportion; the test draws
    outcomes as if every probability were right: J. Bröcker and L. A. Smith, Weather and Forecasting 22 (2007). Of
    clusters the gaps of all bins spread together, as sums over whole clusters do: K.-Y. Liang and S. L. Zeger,
    Biometrika 73 (1986).

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
    if clusters is None:
        smoothed = (hits + 1) / (rows + 2)
        spread = np.diag(smoothed * (1 - smoothed) / rows)
        expected = np.diag(np.bincount(codes, told * (1 - told)) / rows**2)
    else:
        size = np.outer(rows, rows)
        spread = _clustered(came - told - gaps[codes], codes, clusters, centred=True) / size
        expected = _clustered(came - told, codes, clusters) / size
    error = _interval(rows / len(told), gaps, spread, level)
    curve = (
        Bin(int(count), float(total / count), wilson(float(true), float(count), level))
        for count, total, true in zip(rows, sums, hits, strict=True)
    )
    return Calibration(error, _p_value(gaps, rows, expected, draws, seed), tuple(curve))


def _bins(told: Array, bins: int) -> Array:
    """The bin of each row, from 0 on and none empty; equal probabilities are never parted."""
    edges = np.unique(np.quantile(told, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, told, side="left"), return_inverse=True)[1]


def _clustered(residuals: Array, codes: Array, clusters: Array, *, centred: bool = False) -> Array:
    """The covariances of the bins' sums, as whole clusters tell them. Where their residuals are `centred` in each bin,
    of so many clusters there one was spent on it.
    """
    places = np.unique(clusters, return_inverse=True)[1]
    count, width = int(places.max()) + 1, int(codes.max()) + 1
    cells = places * width + codes
    sums = np.bincount(cells, residuals, count * width).reshape(count, width)
    if centred:
        there = (np.bincount(cells, minlength=count * width).reshape(count, width) > 0).sum(axis=0)
        sums = sums * np.sqrt(there / np.maximum(there - 1, 0.5))
    return np.asarray(sums.T @ sums)


def _interval(shares: Array, gaps: Array, spread: Array, level: float) -> Interval:
    """Of the root of the mean square gap d'Wd, for gaps of the covariance S.

    d'Wd - tr(WS) estimates the square without bias, with variance 4 δ'WSWδ + 2 tr(WSWS). The first part is taken as
    proportional to the square itself, which makes the ends the roots of a quadratic equation.
    """
    weighted = shares[:, None] * spread
    excess, twice = float(np.trace(weighted)), float(np.trace(weighted @ weighted))
    square = float(np.sum(shares * gaps**2)) - excess
    reach = quantile(level) ** 2
    slope = twice / excess if excess > 0 else 0.0
    centre = square + 2 * reach * slope
    root = math.sqrt(max(0.0, centre**2 - square**2 + reach * 2 * twice))
    low, high = (math.sqrt(max(0.0, end)) for end in (centre - root, centre + root))
    return Interval(math.sqrt(max(0.0, square)), low, high)


def _p_value(gaps: Array, rows: Array, expected: Array, draws: int, seed: int) -> float:
    """How often outcomes drawn by the probabilities themselves show gaps as large as those seen.

    The sum of a bin's outcomes is drawn as normal: by its mean and variance, which are known.
    """
    values, vectors = np.linalg.eigh(expected)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn = np.random.default_rng(seed).normal(size=(draws, len(rows))) @ root.T
    return float((1 + np.sum((drawn**2) @ rows >= gaps**2 @ rows)) / (draws + 1))
