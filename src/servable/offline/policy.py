"""What a bulk job decides. Pure."""

from __future__ import annotations

PART_ROWS = 1 << 18
"""Rows of one part of the input, about."""
SURE_ROWS = 10_000
"""Rows after which a share of bad ones tells what the rest is like."""


def too_many_bad(rows: int, bad: int, total: int | None, max_bad: float, *, over: bool) -> bool:
    """Whether more rows are bad than the share that was allowed; as soon as that is certain, or at the end.

    `total` is how many rows there are, where that is known.

    >>> too_many_bad(rows=50, bad=2, total=1000, max_bad=0.01, over=False)
    False
    >>> too_many_bad(rows=500, bad=11, total=1000, max_bad=0.01, over=False)
    True
    >>> too_many_bad(rows=10, bad=1, total=None, max_bad=0.01, over=True)
    True
    """
    if over or total is None:
        return bad > max_bad * rows and (over or rows >= SURE_ROWS)
    return bad > max_bad * total


def part_rows(left: int) -> int:
    """How many rows the next part should have, of so many that are left: smaller ones towards the end, so that no
    worker works long after the others have nothing more to do.

    >>> part_rows(10 * PART_ROWS) == PART_ROWS, part_rows(PART_ROWS) == PART_ROWS // 4
    (True, True)
    """
    return PART_ROWS if left > 4 * PART_ROWS else PART_ROWS // 4
