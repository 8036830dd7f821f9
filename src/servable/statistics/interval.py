"""Interval: an estimate and the two ends between which the truth lies with the confidence that was asked for."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, NamedTuple

LEVEL: Final = 0.95
"""The confidence of an interval, where none is asked for."""
NORMAL: Final = NormalDist()


class Interval(NamedTuple):
    """The estimate is inside; NaN throughout where there is nothing to estimate from."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"


UNKNOWN: Final = Interval(math.nan, math.nan, math.nan)


def quantile(level: float) -> float:
    """How many standard errors a two-sided interval of this confidence reaches to each side.

    >>> round(quantile(0.95), 4)
    1.96
    """
    return NORMAL.inv_cdf(0.5 + level / 2)


def normal(estimate: float, error: float, level: float = LEVEL) -> Interval:
    """The interval of an estimate that is normally distributed with this standard error.

    >>> print(normal(10.0, 1.0))
    10 [8.04, 11.96]
    """
    reach = quantile(level) * error
    return Interval(estimate, estimate - reach, estimate + reach)


def logit(estimate: float, error: float, level: float = LEVEL) -> Interval:
    """The same for an estimate between 0 and 1, made on the scale of log odds, so that it stays between them.

    At 0 and 1 themselves there are no odds: the plain interval, cut off, stands there.

    >>> print(logit(0.9, 0.05))
    0.9 [0.7518, 0.9639]
    """
    if not 0 < estimate < 1:
        plain = normal(estimate, error, level)
        return Interval(estimate, max(0.0, plain.low), min(1.0, plain.high))
    odds, reach = math.log(estimate / (1 - estimate)), quantile(level) * error / (estimate * (1 - estimate))
    low, high = (1 / (1 + math.exp(-min(max(end, -700.0), 700.0))) for end in (odds - reach, odds + reach))
    return Interval(estimate, low, high)
