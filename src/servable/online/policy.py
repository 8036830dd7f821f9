"""What learning beside predictions decides. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SURE: Final = 4
"""Times after which it is known how long a row takes: one alone may have been an accident."""


def rows_at_once(row_s: Sequence[float], within_s: float) -> int | None:
    """How many rows may be learned in one go, so that predictions wait about `within_s`; None: that is not known.

    `row_s`: the seconds that a row took of late. The quickest counts: what else runs on the machine makes it slower at
    times, a learner that has grown is slower always.

    >>> rows_at_once([0.004, 0.002, 0.5, 0.003], within_s=0.01)
    5
    >>> rows_at_once([0.2, 0.2, 0.2, 0.2], within_s=0.01)
    1
    >>> rows_at_once([0.2], within_s=0.01) is None
    True
    """
    quickest = min(row_s, default=0.0)
    return max(int(within_s / quickest), 1) if len(row_s) >= SURE and quickest > 0 else None
