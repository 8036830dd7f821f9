"""Bootstrap: the spread of a statistic, from drawing the rows again with replacement. Seeded: the same rows and seed
give the same interval.

Rows may be drawn within strata, or as whole clusters where they are not independent (several of one customer).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from servable.statistics.interval import LEVEL, NORMAL, UNKNOWN, Interval
from servable.statistics.means import Array, Means

DRAWS: Final = 1000
FEW: Final = 64
"""Rows of at most so many kinds are drawn as counts of each kind: the same distribution, thousands of times quicker."""
GROUPS: Final = 10_000
"""More rows are put into so many groups at random, and drawn as groups: of means, the same spread to within 1 %."""
AT_ONCE: Final = 1 << 17
"""Rows that are drawn together: as many as a processor's cache holds."""
LOOKED_AT: Final = 1000
"""Rows whose kinds are counted before all are."""


def draw(
    statistic: Means,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    strata: Array | None = None,
    clusters: Array | None = None,
) -> Array:
    """The statistic of `draws` resamples. `strata` and `clusters` are codes, one a row.

    B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapters 6 and 8.
    """
    random = np.random.default_rng(seed)
    units, groups = _units(statistic.rows, strata, clusters)
    sums = np.zeros((draws, units.shape[1]))
    for group in np.unique(groups):
        sums += _resampled(units[groups == group], draws, random)
    return statistic.value(sums[:, 1:] / sums[:, :1])


def bca(
    statistic: Means,
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
    strata: Array | None = None,
    clusters: Array | None = None,
) -> Interval:
    """The bias-corrected and accelerated interval: right also for statistics that are skewed or bounded.

    B. Efron, "Better bootstrap confidence intervals", JASA 82 (1987). With strata the acceleration is left out.

    >>> errors = np.abs(np.random.default_rng(1).normal(size=(400, 1)))
    >>> print(bca(Means(errors, lambda means: means[..., 0])))
    0.7142 [0.6623, 0.7716]
    """
    estimate = statistic.estimate
    drawn = draw(statistic, draws=draws, seed=seed, strata=strata, clusters=clusters)
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(estimate) or not len(drawn):
        return UNKNOWN
    below = (np.sum(drawn < estimate) + np.sum(drawn == estimate) / 2) / len(drawn)
    bias = NORMAL.inv_cdf(min(max(float(below), 0.5 / len(drawn)), 1 - 0.5 / len(drawn)))
    skew = 0.0 if strata is not None else _acceleration(statistic, clusters)
    ends = []
    for side in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + NORMAL.inv_cdf(side)
        ends.append(NORMAL.cdf(bias + shifted / (1 - skew * shifted)))
    low, high = np.quantile(drawn, ends)
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def at_most(drawn: Array, limit: float) -> float:
    """One-sided p-value of "the truth is at most `limit`": the share of resamples that are.

    >>> at_most(np.linspace(0.0, 1.0, 999), -0.1)
    0.001
    """
    known = drawn[np.isfinite(drawn)]
    return float((1 + np.sum(known <= limit)) / (len(known) + 1))


def _units(rows: Array, strata: Array | None, clusters: Array | None) -> tuple[Array, Array]:
    """What is drawn, its size in the first column, and the stratum of each."""
    table = np.column_stack([np.ones(len(rows)), rows])
    if clusters is None:
        return table, np.zeros(len(rows), int) if strata is None else strata
    names, first, codes = np.unique(clusters, return_index=True, return_inverse=True)
    sums = np.column_stack([np.bincount(codes, column, len(names)) for column in table.T])
    return sums, np.zeros(len(names), int) if strata is None else strata[first]


def _resampled(units: Array, draws: int, random: np.random.Generator) -> Array:
    """Sums of `draws` resamples of the units."""
    count = len(units)
    kinds, times = np.unique(units[:LOOKED_AT], axis=0, return_counts=True)
    if len(kinds) <= FEW and count > LOOKED_AT:
        kinds, times = np.unique(units, axis=0, return_counts=True)
    if len(kinds) <= FEW:
        return np.asarray(random.multinomial(count, times / count, draws) @ kinds)
    if count > GROUPS:
        groups = random.permutation(count) % GROUPS
        units = np.column_stack([np.bincount(groups, column) for column in units.T])
        count = GROUPS
    sums = np.empty((draws, units.shape[1]))
    together = max(1, AT_ONCE // count)
    for start in range(0, draws, together):
        stop = min(start + together, draws)
        places = random.integers(0, count, (stop - start, count)) + count * np.arange(stop - start)[:, None]
        times = np.bincount(places.ravel(), minlength=places.size).reshape(places.shape)
        sums[start:stop] = times @ units
    return sums


def _acceleration(statistic: Means, clusters: Array | None) -> float:
    """A sixth of the skewness of the jackknife's values."""
    units, _ = _units(statistic.rows, None, clusters)
    if len(units) <= 1:
        return 0.0
    left = units.sum(axis=0) - units
    values = statistic.value(left[:, 1:] / left[:, :1])
    gaps = np.nanmean(values) - values
    gaps = gaps[np.isfinite(gaps)]
    spread = float(np.sum(gaps**2)) ** 1.5
    return float(np.sum(gaps**3)) / (6 * spread) if spread > 0 else 0.0
