"""What of a schedule is due. Pure: times are given, in seconds since the epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

LATE_S = 120.0
"""A run that begins this much after its time is still on time."""
MOST = 100_000
"""Times that are looked through for the last one that was missed."""


class Due(NamedTuple):
    """The latest time that has come, and what to do about it."""

    time: float
    act: Literal["run", "skip"]


def due(following: Callable[[float], float], last: float, now: float, missed: Literal["run", "skip"]) -> Due | None:
    """What to do at `now`, if `last` was the time that was dealt with last. Of several that were missed only the
    latest counts: one run brings the answers up to date.

    >>> hourly = lambda after: (after // 3600 + 1) * 3600.0
    >>> due(hourly, last=0.0, now=3599.0, missed="run") is None
    True
    >>> due(hourly, last=0.0, now=3601.0, missed="skip")
    Due(time=3600.0, act='run')
    >>> due(hourly, last=0.0, now=12_000.0, missed="run")
    Due(time=10800.0, act='run')
    >>> due(hourly, last=0.0, now=12_000.0, missed="skip")
    Due(time=10800.0, act='skip')
    """
    time = following(last)
    if time > now:
        return None
    for _ in range(MOST):
        after = following(time)
        if after > now:
            break
        time = after
    return Due(time, "run" if missed == "run" or now - time <= LATE_S else "skip")
