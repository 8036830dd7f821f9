"""E-detector: evidence that something has changed, watched for ever: it starts anew whenever it has come to nothing.

J. Shin, A. Ramdas and A. Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", arXiv
2203.03532: while nothing has changed, it takes at least x steps on average until the evidence reaches x.
"""

from __future__ import annotations

LARGEST = 1e100


class Detector:
    """Bets of a fixed stake against "the mean is not above `limit`", on values up to 1."""

    def __init__(self, stake: float, limit: float = 0.0) -> None:
        """A stake times the lowest value's distance from the limit must stay below 1.

        >>> detector = Detector(stake=0.25)
        >>> for value in [0, 1, 0, -1] * 100: detector.see(value)
        >>> detector.evidence < 5
        True
        >>> for value in [0, 1, 1, -1] * 100: detector.see(value)
        >>> detector.evidence > 1000
        True
        """
        self.stake = stake
        self.limit = limit
        self.evidence = 1.0

    def see(self, value: float) -> None:
        """The next value."""
        gained = max(self.evidence, 1.0) * (1.0 + self.stake * (value - self.limit))
        self.evidence = min(max(gained, 0.0), LARGEST)
