"""Page-Hinkley: has the mean of a stream moved? E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954)."""

from __future__ import annotations


class PageHinkley:
    """`see` tells whether the values now lie above or below their mean by more than chance: sums of the distances from
    it, less `slack` each, fading slowly, against `threshold`. It starts anew after it has told.
    """

    def __init__(self, slack: float = 0.005, threshold: float = 50.0, fading: float = 0.9999, least: int = 30) -> None:
        self._slack, self._threshold, self._fading, self._least = slack, threshold, fading, least
        self._begin()

    def _begin(self) -> None:
        self._count, self._mean = 0, 0.0
        self._up = self._down = 0.0
        self._lowest, self._highest = float("inf"), float("-inf")

    def see(self, value: float) -> bool:
        """The next value; whether there is a change."""
        self._count += 1
        self._mean += (value - self._mean) / self._count
        gap = value - self._mean
        up = self._up = self._fading * self._up + gap - self._slack
        down = self._down = self._fading * self._down + gap + self._slack
        if up < self._lowest:  # noqa: PLR1730 - this is asked of each example, and a call of min() takes longer
            self._lowest = up
        if down > self._highest:  # noqa: PLR1730 - so does one of max()
            self._highest = down
        changed = up - self._lowest > self._threshold or self._highest - down > self._threshold
        if changed and self._count >= self._least:
            self._begin()
            return True
        return False
