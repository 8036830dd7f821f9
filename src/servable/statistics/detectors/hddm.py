"""HDDM-W: has the error rate risen? By McDiarmid's bound on averages that forget.

I. Frías-Blanco et al., "Online and non-parametric drift detection methods based on Hoeffding's bounds", IEEE
Transactions on Knowledge and Data Engineering 27 (2015).
"""

from __future__ import annotations

import math
from typing import NamedTuple


class _Sample(NamedTuple):
    """An average that forgets, and the sum of the squares of its weights; none before the first value."""

    mean: float = 0.0
    weight: float = 0.0

    def with_value(self, value: float, rate: float) -> _Sample:
        if not self.weight:
            return _Sample(value, 1.0)
        keep = 1.0 - rate
        return _Sample(rate * value + keep * self.mean, rate * rate + keep * keep * self.weight)


class HddmW:
    """Values lie between 0 and 1. `rate`: how fast the averages forget; `drift`, `warning`: chances of a false one."""

    def __init__(self, rate: float = 0.05, drift: float = 0.001, warning: float = 0.005) -> None:
        self._rate, self._drift, self._warning = rate, drift, warning
        self.warned = False
        """Whether the last value looks like the beginning of a rise."""
        self._begin()

    def _begin(self) -> None:
        self._all = self._before = self._since = _Sample()
        self._edge = math.inf

    def see(self, value: float) -> bool:
        """The next value; whether the mean has risen."""
        self._all = self._all.with_value(value, self._rate)
        edge = self._all.mean + _bound(self._all.weight, self._drift)
        if edge < self._edge:
            self._edge, self._before, self._since = edge, self._all, _Sample()
        else:
            self._since = self._since.with_value(value, self._rate)
        risen = self._risen(self._drift)
        self.warned = not risen and self._risen(self._warning)
        if risen:
            self._begin()
        return risen

    def _risen(self, chance: float) -> bool:
        weight = self._before.weight + self._since.weight
        return bool(self._since.weight) and self._since.mean - self._before.mean > _bound(weight, chance)


def _bound(weight: float, chance: float) -> float:
    return math.sqrt(weight * math.log(1.0 / chance) / 2.0)
