"""Age: from which moment back rows of a store are too old to keep, told now and then to whoever writes to it."""

from __future__ import annotations

from typing import Final

DAY_S: Final = 86_400.0
PAUSE_S: Final = 3600.0
"""Between two looks for what is too old."""


class Age:
    """Of one store, whose rows are kept for so many days."""

    def __init__(self, days: float) -> None:
        self._days = days
        self._looked = 0.0

    def past(self, now: float) -> float | None:
        """The moment before which all may go, in seconds since the epoch; None within an hour of telling it.

        >>> age = Age(days=1)
        >>> age.past(100_000.0), age.past(100_001.0), age.past(103_601.0)
        (13600.0, None, 17201.0)
        """
        if now - self._looked <= PAUSE_S:
            return None
        self._looked = now
        return now - self._days * DAY_S
