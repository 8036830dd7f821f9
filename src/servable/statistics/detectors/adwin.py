"""ADWIN: a window that grows while its mean is one, and lets go of its older part where that had another.

A. Bifet and R. Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007: the window is kept in
buckets of 1, 2, 4, … values, a few of each size, so memory grows with the logarithm of its length.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

MOST: Final = 5
"""Buckets of one size."""
CLOCK: Final = 32
"""Values between two looks."""
GRACE: Final = 10
LEAST: Final = 5
"""Values that either part of a window must hold."""


_Bucket: TypeAlias = tuple[float, float]
"""The total of its values, and the sum of their squared distances from their mean. Plain: there are many a second."""


class Adwin:
    """`mean` and `width` are those of the window. `chance`: that of a false alarm."""

    def __init__(self, chance: float = 0.002) -> None:
        self._chance = chance
        self._sizes: list[list[_Bucket]] = [[]]
        """By the logarithm of their size; in each, the oldest first."""
        self._count = 0
        self.width = 0
        self._total = self._variance = 0.0

    @property
    def mean(self) -> float:
        """Of the window."""
        return self._total / self.width if self.width else 0.0

    def see(self, value: float) -> bool:
        """The next value; whether the window was cut."""
        self._count += 1
        width = self.width
        if width:
            self._variance += width * (value - self._total / width) ** 2 / (width + 1)
        self.width = width + 1
        self._total += value
        single = self._sizes[0]
        single.append((value, 0.0))
        if len(single) > MOST:
            self._join()
        if self._count % CLOCK or width < GRACE:
            return False
        changed = False
        while self._differs():
            self._drop()
            changed = True
        return changed

    def _join(self) -> None:
        """Where there are too many of a size, the two oldest become one of twice the size."""
        for power, buckets in enumerate(self._sizes):
            if len(buckets) <= MOST:
                return
            (first, spread), (second, other) = buckets[:2]
            del buckets[:2]
            size = 1 << power
            gap = (first - second) / size
            whole = first + second, spread + other + size / 2 * gap * gap
            if power + 1 == len(self._sizes):
                self._sizes.append([])
            self._sizes[power + 1].append(whole)

    def _differs(self) -> bool:
        """Whether any older part of the window has another mean than the rest, by more than the paper's bound."""
        width, whole = self.width, self._total
        log = math.log(2 * math.log(width) / self._chance)
        spread, wide = 2 * self._variance / width * log, 2 / 3 * log
        older, total = 0, 0.0
        for power in range(len(self._sizes) - 1, -1, -1):
            size = 1 << power
            for more, _ in self._sizes[power]:
                older += size
                total += more
                newer = width - older
                if newer < LEAST:
                    return False
                if older >= LEAST:
                    share = 1 / (older - LEAST + 1) + 1 / (newer - LEAST + 1)
                    gap = abs(total / older - (whole - total) / newer)
                    if gap > math.sqrt(spread * share) + wide * share:
                        return True
        return False

    def _drop(self) -> None:
        """The oldest bucket goes."""
        buckets = self._sizes[-1]
        size = 1 << (len(self._sizes) - 1)
        total, variance = buckets.pop(0)
        self.width -= size
        self._total -= total
        gap = total / size - self.mean
        self._variance -= variance + size * self.width * gap * gap / (size + self.width)
        while len(self._sizes) > 1 and not self._sizes[-1]:
            self._sizes.pop()
