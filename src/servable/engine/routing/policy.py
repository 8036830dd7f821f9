"""When a breaker opens and for how long, and how much of a door's time shadows may take: pure functions of counts."""

from __future__ import annotations

from typing import Final, NamedTuple

BUSY_SHARE: Final = 0.01
"""Of a door's time, what a shadow may take even when there is none to spare."""
IDLE_SHARE: Final = 0.5
"""And while the door waits for requests."""
BUSY_TURN_S: Final = 0.0002
"""A turn of the loop that takes longer has served others."""


class Tolerance(NamedTuple):
    """A breaker opens when at least `least` requests of a window failed, and they were a `share` of those that ended.

    Pauses double from the first to the longest; `probes` good answers in a row end them.
    """

    least: int = 20
    share: float = 0.5
    window_s: float = 10.0
    first_s: float = 1.0
    longest_s: float = 30.0
    probes: int = 3


def trips(failed: int, late: int, answered: int, tolerance: Tolerance) -> bool:
    """Whether so many failures, missed deadlines and answers since a window began are too much.

    Deadlines are the callers' choice: those that are missed count only where nothing at all was answered.

    >>> usual = Tolerance()
    >>> trips(20, 0, 20, usual), trips(20, 0, 21, usual), trips(19, 0, 0, usual)
    (True, False, False)
    >>> trips(0, 20, 0, usual), trips(0, 500, 1, usual)
    (True, False)
    """
    if failed >= tolerance.least and failed >= tolerance.share * (failed + answered):
        return True
    return failed + late >= tolerance.least and answered == 0


def pause_s(times: int, tolerance: Tolerance) -> float:
    """Seconds until a version may be tried again, after its breaker has opened so many times in a row.

    >>> [pause_s(times, Tolerance()) for times in (1, 2, 3, 6, 100)]
    [1.0, 2.0, 4.0, 30.0, 30.0]
    """
    return min(tolerance.first_s * 2.0 ** min(times - 1, 64), tolerance.longest_s)


def rest_s(spent_s: float, turn_s: float) -> float:
    """How long a shadow rests after it took so many seconds, where a turn of the loop takes so long.

    >>> round(rest_s(0.003, turn_s=0.002), 3), rest_s(0.003, turn_s=0.00002)
    (0.297, 0.003)
    """
    return spent_s * (1 / (BUSY_SHARE if turn_s > BUSY_TURN_S else IDLE_SHARE) - 1)
