"""Sources: how much each sender may teach: so many examples a second, and such a share of what is learned lately."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from servable.online.guards.limits import Limits

LATELY: Final = 10_000
"""Examples of which shares are counted; before there are a tenth as many, a share is not looked at."""
BURST_S: Final = 2.0
"""A sender that was silent may send so much of its rate at once."""


class Sources:
    """What the senders sent lately."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._allowance: dict[str, tuple[float, float]] = {}
        self._order: deque[tuple[str, int]] = deque()
        self._counts: Counter[str] = Counter()
        self._total = 0

    def wait_s(self, source: str, rows: int, now: float) -> float:
        """How long a sender must wait before it may send these; 0: not at all, and they are counted.

        >>> sources = Sources(Limits(most_per_s=10))
        >>> sources.wait_s("a", 20, now=0), sources.wait_s("a", 5, now=0), sources.wait_s("a", 5, now=0.5)
        (0.0, 0.5, 0.0)
        """
        rate = self._limits.most_per_s
        if not rate:
            return 0.0
        left, then = self._allowance.get(source, (rate * BURST_S, now))
        left = min(left + (now - then) * rate, rate * BURST_S)
        # A single request larger than the allowance waits for a full one.
        short = min(rows, rate * BURST_S) - left
        if short > 1e-9:
            return short / rate
        self._allowance[source] = (left - rows, now)
        return 0.0

    def too_much(self, source: str, rows: int) -> bool:
        """Whether a sender's share of the last examples is more than it may be; else these are counted. Of senders that
        may teach all together, the one that has taught least is never turned away.

        >>> sources = Sources(Limits(most_share=0.5))
        >>> sources.too_much("a", 900), sources.too_much("b", 100), sources.too_much("a", 1)
        (False, False, True)
        >>> sources.too_much("b", 800), sources.too_much("a", 1), sources.too_much("a", 1), sources.too_much("b", 1)
        (False, False, True, False)
        """
        if self._limits.most_share >= 1.0:
            return False
        if self._total >= LATELY // 10 and self._counts[source] > self._limits.most_share * self._total:
            return True
        self._order.append((source, rows))
        self._counts[source] += rows
        self._total += rows
        while self._total - self._order[0][1] >= LATELY:
            old, gone = self._order.popleft()
            self._counts[old] -= gone
            self._total -= gone
        return False
