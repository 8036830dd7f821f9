"""E-detector: evidence that something has changed, watched for ever: it starts anew whenever it has come to nothing.

J. Shin, A. Ramdas and A. Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", arXiv
2203.03532: while nothing has changed, it takes at least x steps on average until the evidence reaches x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LARGEST: Final = 1e100
SHARES: Final = (0.25, 0.75)
"""Of the largest stake that there may be: a small rise is told soonest by a timid bet, a large one by a bold one."""
NOTHING: Final = (1.0,) * len(SHARES)
"""The evidence of `bets` before the first value."""


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
    # Comparisons, not max(): this is called several times an example, and a call takes longer than they do.
    grown = (1.0 if evidence < 1.0 else evidence) * (1.0 + stake * (value - limit))  # noqa: FURB136 - see above
    if grown >= LARGEST:
        return LARGEST
    return grown if grown > 0.0 else 0.0  # noqa: FURB136 - see above


def bets(evidence: Sequence[float], value: float, limit: float) -> list[float]:
    """The same for values from 0 to 1 by several stakes at once, of which the mean is the evidence: an average of
    e-detectors is one.

    >>> evidence = NOTHING
    >>> for value in [0, 1] * 200: evidence = bets(evidence, value, limit=0.6)
    >>> sum(evidence) / len(evidence) < 5
    True
    >>> for value in [1, 1, 0] * 100: evidence = bets(evidence, value, limit=0.5)
    >>> sum(evidence) / len(evidence) > 1000
    True
    """
    return [bet(one, value, share / limit, limit) for one, share in zip(evidence, SHARES, strict=True)]
