"""HDDM-W: has the error rate risen? By McDiarmid's bound on averages that forget.

I. Frías-Blanco et al., "Online and non-parametric drift detection methods based on Hoeffding's bounds", IEEE
Transactions on Knowledge and Data Engineering 27 (2015).
"""

from __future__ import annotations

import math


class HddmW:
    """Values lie between 0 and 1. `rate`: how fast the averages forget; `drift`, `warning`: chances of a false one.

    An average that forgets is its mean and the sum of the squares of its weights, 0 before its first value: of all
    values, of those up to where their upper bound was lowest, and of those since.
    """

    def __init__(self, rate: float = 0.05, drift: float = 0.001, warning: float = 0.005) -> None:
        self._rate, self._keep = rate, 1.0 - rate
        self._drift, self._warning = (math.log(1.0 / chance) / 2.0 for chance in (drift, warning))
        self.warned = False
        """Whether the last value looks like the beginning of a rise."""
        self._begin()

    def _begin(self) -> None:
        self._mean = self._weight = 0.0
        self._mean_before = self._weight_before = 0.0
        self._mean_since = self._weight_since = 0.0
        self._edge = math.inf

    def see(self, value: float) -> bool:
        """The next value; whether the mean has risen."""
        self._mean, self._weight = self._with(self._mean, self._weight, value)
        edge = self._mean + math.sqrt(self._weight * self._drift)
        if edge < self._edge:
            self._edge, self._mean_before, self._weight_before = edge, self._mean, self._weight
            self._mean_since = self._weight_since = 0.0
            self.warned = False
            return False
        self._mean_since, self._weight_since = self._with(self._mean_since, self._weight_since, value)
        gap = self._mean_since - self._mean_before
        weight = self._weight_before + self._weight_since
        risen = gap > math.sqrt(weight * self._drift)
        self.warned = not risen and gap > math.sqrt(weight * self._warning)
        if risen:
            self._begin()
        return risen

    def _with(self, mean: float, weight: float, value: float) -> tuple[float, float]:
        if not weight:
            return value, 1.0
        rate, keep = self._rate, self._keep
        return rate * value + keep * mean, rate * rate + keep * keep * weight
