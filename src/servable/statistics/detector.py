"""E-detector: evidence that something has changed, watched for ever: it starts anew whenever it has come to nothing.

J. Shin, A. Ramdas and A. Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", arXiv
2203.03532: while nothing has changed, it takes at least x steps on average until the evidence reaches x.
"""

from __future__ import annotations

LARGEST = 1e100


def bet(evidence: float, value: float, stake: float, limit: float = 0.0) -> float:
    """The evidence that the mean of values, each up to 1, is above `limit`, after the next of them. It begins at 1.
    `stake` times the lowest value's distance from the limit must stay below 1.

    >>> evidence = 1.0
    >>> for value in [0, 1, 0, -1] * 100: evidence = bet(evidence, value, stake=0.25)
    >>> evidence < 5
    True
    >>> for value in [0, 1, 1, -1] * 100: evidence = bet(evidence, value, stake=0.25)
    >>> evidence > 1000
    True
    """
    grown = max(evidence, 1.0) * (1.0 + stake * (value - limit))
    return max(grown, 0.0) if grown < LARGEST else LARGEST
