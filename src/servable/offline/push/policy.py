"""How long to wait before a delivery is tried again. Pure: chance is given."""

from __future__ import annotations

FIRST_S = 0.5
LONGEST_S = 60.0


def pause_s(attempt: int, chance: float) -> float:
    """Seconds before attempt 2, 3, …: doubling, bounded, and shortened by chance so that many do not come at once.

    Full jitter: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. `chance` is from 0 to 1.

    >>> [pause_s(attempt, 1.0) for attempt in (1, 2, 3, 9)]
    [0.5, 1.0, 2.0, 60.0]
    >>> pause_s(3, 0.25)
    0.5
    """
    return min(FIRST_S * 2.0 ** (attempt - 1), LONGEST_S) * chance
