"""McNemar: whether two classifiers that answered the same rows differ in how often they are right.

Where rows belong together (several of one customer), whole clusters change sides: the same test, of their sums.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from servable.statistics.interval import NORMAL
from servable.statistics.means import Array

EXACT: Final = 4000
"""Sums up to this are counted out; beyond it they are as good as normal."""


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided mid-p-value. `only_first` counts rows that the first alone got right, `only_second` the second alone;
    rows on which both are right, or wrong, say nothing.

    Q. McNemar, Psychometrika 12 (1947); mid-p as M. W. Fagerland, S. Lydersen and P. Laake advise, BMC Medical Research
    Methodology 13 (2013): the exact test is too cautious, the asymptotic one not enough.

    >>> round(mcnemar(15, 5), 4), mcnemar(0, 0)
    (0.0266, 1.0)
    """
    return _signs([1], [only_first + only_second], only_first - only_second)


def mcnemar_clustered(only_first: Array, only_second: Array, clusters: Array) -> float:
    """The same of rows in clusters: truths and codes, one a row. Were both equally good, each cluster's difference
    would as likely have the other sign.

    The exact form of Z. Yang, X. Sun and J. W. Hardin, Biometrical Journal 52 (2010); of clusters of one row it is
    McNemar's test.

    >>> first, second = np.repeat([True, False], [15, 5]), np.repeat([False, True], [15, 5])
    >>> round(mcnemar_clustered(first, second, np.arange(20)), 4)
    0.0266
    >>> round(mcnemar_clustered(first, second, np.repeat(np.arange(4), 5)), 4)  # four clusters of five: hardly anything
    0.375
    """
    places = np.unique(clusters, return_inverse=True)[1]
    sums = np.rint(np.bincount(places, only_first.astype(float) - only_second)).astype(int)
    sizes, times = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    return _signs(sizes.tolist(), times.tolist(), int(sums.sum()))


def _signs(sizes: list[int], times: list[int], seen: int) -> float:
    """The two-sided mid-p-value of a sum, each of whose parts has either sign: so many parts of each size."""
    reach = sum(size * count for size, count in zip(sizes, times, strict=True))
    if reach == 0:
        return 1.0
    if reach > EXACT:
        spread = math.sqrt(sum(size * size * count for size, count in zip(sizes, times, strict=True)))
        return 2 * NORMAL.cdf(-abs(seen) / spread)
    chances = np.ones(1)
    for size, count in zip(sizes, times, strict=True):
        own = np.zeros(2 * size * count + 1)
        own[:: 2 * size] = _halves(count)
        chances = np.convolve(chances, own)
    away = np.abs(np.arange(-reach, reach + 1))
    beyond, equal = float(chances[away > abs(seen)].sum()), float(chances[away == abs(seen)].sum())
    return min(1.0, beyond + equal / 2) if seen else 1.0


def _halves(count: int) -> Array:
    """The chances of 0 to `count` heads of so many fair coins."""
    heads = np.arange(count + 1)
    logs = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in heads.tolist()]
    return np.asarray(np.exp(np.array(logs) - count * math.log(2)))
