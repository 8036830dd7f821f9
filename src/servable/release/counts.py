"""Counts: what the doors of a server have counted of one version, and what is new since the last look.

Read from the doors' reports, which are added up over doors. A server that was started anew counts from zero again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec


class Counts(msgspec.Struct, frozen=True):
    """Of one version: requests that ended, those that `failed`, the answered ones by latency, how many the Route
    `assigned` to it one by one.
    """

    requests: int = 0
    failed: int = 0
    buckets: tuple[int, ...] = ()
    assigned: int = 0

    def since(self, before: Counts) -> Counts:
        """What came after `before`; all of it, where counting began anew.

        >>> Counts(requests=12, failed=3).since(Counts(requests=10, failed=3))
        Counts(requests=2, failed=0, buckets=(), assigned=0)
        >>> Counts(requests=5).since(Counts(requests=10)).requests
        5
        """
        old = before._padded(len(self.buckets))
        pairs = [(getattr(self, name), getattr(old, name)) for name in ("requests", "failed", "assigned")]
        pairs += list(zip(self.buckets, old.buckets, strict=True))
        if any(now < then for now, then in pairs):
            return self
        news = [now - then for now, then in pairs]
        return Counts(news[0], news[1], tuple(news[3:]), news[2])

    def plus(self, more: Counts) -> Counts:
        """Both together."""
        width = max(len(self.buckets), len(more.buckets))
        one, other = self._padded(width), more._padded(width)
        return Counts(
            one.requests + other.requests,
            one.failed + other.failed,
            tuple(a + b for a, b in zip(one.buckets, other.buckets, strict=True)),
            one.assigned + other.assigned,
        )

    def slow(self, bucket: int) -> int:
        """Answers that took longer than this bucket's bound."""
        return sum(self.buckets[bucket + 1 :])

    def _padded(self, width: int) -> Counts:
        return msgspec.structs.replace(self, buckets=self.buckets + (0,) * (width - len(self.buckets)))


def counts_of(reports: Iterable[Mapping[str, Any]], name: str, version: str) -> Counts:
    """Of one version, over the reports of all doors."""
    total = Counts()
    for report in reports:
        for model in report["models"]:
            if (model["name"], model["version"]) == (name, version):
                stats = model["stats"]
                failed = sum(stats["failure"].values())
                total = total.plus(Counts(stats["success"] + failed, failed, tuple(stats["buckets"])))
        assigned = report.get("routes", {}).get(name, {}).get("assigned", {}).get(version, 0)
        total = total.plus(Counts(assigned=assigned))
    return total
