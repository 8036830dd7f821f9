"""Intervals of a proportion: so many successes in so many trials."""

from __future__ import annotations

import math

from servable.errors import MissingExtra
from servable.statistics.interval import LEVEL, UNKNOWN, Interval, quantile


def wilson(successes: float, trials: float, level: float = LEVEL) -> Interval:
    """The score interval: close to its confidence on average, also for few trials and rare events.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    >>> print(wilson(10, 100))
    0.1 [0.05523, 0.1744]
    >>> print(wilson(0, 20))
    0 [0, 0.1611]
    """
    if trials <= 0:
        return UNKNOWN
    share, z = successes / trials, quantile(level)
    shrunk = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / shrunk
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / shrunk
    low = 0.0 if successes == 0 else max(0.0, centre - reach)
    high = 1.0 if successes == trials else min(1.0, centre + reach)
    return Interval(share, low, high)


def clopper_pearson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """The exact interval: never less than its confidence, at the price of being wide.

    C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits", Biometrika 26 (1934). Raises
    MissingExtra.

    >>> print(clopper_pearson(10, 100))
    0.1 [0.049, 0.1762]
    """
    if trials <= 0:
        return UNKNOWN
    try:
        from scipy.special import betaincinv
    except ImportError as error:
        raise MissingExtra("check", "compute an exact interval", missing=error.name) from error
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return Interval(successes / trials, low, high)
