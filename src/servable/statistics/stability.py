"""Population stability index: how far shares have moved from those that were expected, over the same bins.

Source: Siddiqi, "Credit Risk Scorecards", 2006, ch. 10: below 0.1 little has changed, above 0.25 much has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LITTLE = 0.1
MUCH = 0.25


def stability(expected: Sequence[float], found: Sequence[float]) -> float:
    """The index of two lists of counts. A bin that is empty on one side counts as if it held half a value.

    >>> round(stability([50, 50], [500, 500]), 3), round(stability([50, 50], [90, 10]), 3)
    (0.0, 0.879)
    """
    shares = [np.maximum(np.asarray(counts, np.float64), 0.5) / max(sum(counts), 1) for counts in (expected, found)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
