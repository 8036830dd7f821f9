"""What learning beside predictions decides. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SURE: Final = 4
"""Times after which it is known how long a row takes: one alone may have been an accident."""
CAREFUL: Final = 16
"""Rows at once as long as it is not known; the first ones are learned one by one, to get to know it."""


def bounds(rows: int, most: int | None) -> list[int]:
    """Where so many rows are cut, so that no piece is of more than `most`; None: that is not known yet.

    >>> bounds(5, 2)
    [0, 2, 4, 5]
    >>> bounds(40, None)
    [0, 1, 2, 3, 4, 20, 36, 40]
    """
    alone = SURE if most is None else 0
    return [*range(min(alone, rows)), *range(alone, rows, most or CAREFUL), rows]


def room(row_s: Sequence[float], within_s: float, most: int) -> int:
    """How many rows may wait to be learned: `most`, or what takes `within_s`, once it is known how long a row takes.

    >>> room([0.02] * 4, within_s=60.0, most=100_000)
    3000
    >>> room([0.00001] * 4, within_s=60.0, most=100_000), room([0.02], within_s=60.0, most=100_000)
    (100000, 100000)
    """
    return min(rows_at_once(row_s, within_s) or most, most)


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
