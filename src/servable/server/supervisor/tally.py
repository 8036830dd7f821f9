"""Tally: keeps the sums whole while doors come and go.

A counter that runs backwards looks to Prometheus like a restart of everything, and its rate like a burst that never
was. So what a door that is gone had told last goes on counting, and one that is too sick to tell counts as it last did.
Called by `desk.py`, in the supervisor; knows reports (`report.py`) and no processes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

Report = Mapping[str, Any]


class Tally:
    """`complete` at each question for the doors' reports."""

    def __init__(self) -> None:
        self._last: dict[int, Report] = {}
        self._gone: dict[tuple[str, str], dict[str, Any]] = {}
        self._queues: dict[str, dict[str, int]] = {}
        self._routes: dict[str, Any] = {}
        self._lookups: dict[str, Any] = {}

    def complete(self, told: Iterable[Report], alive: Collection[int]) -> list[Report]:
        """The reports `told`, those of living doors (by process id) that told nothing now, and one for all gone ones.

        The last is marked `"past": true`, and tells only of versions that are still served: so it stays small.
        """
        now = {report["pid"]: report for report in told}
        self._last |= now
        for pid in [pid for pid in self._last if pid not in alive]:
            self._bury(self._last.pop(pid))
        living = list(self._last.values())
        served = {(model["name"], model["version"]) for report in living for model in report["models"]}
        self._gone = {key: stats for key, stats in self._gone.items() if key in served}
        routed = {name for report in living for name in report.get("routes") or {}}
        self._routes = {name: counts for name, counts in self._routes.items() if name in routed}
        if not (self._gone or self._queues or self._routes or self._lookups):
            return living
        models = [{"name": name, "version": version, "stats": stats} for (name, version), stats in self._gone.items()]
        past = {**self._queues, "models": models, "routes": self._routes, "lookups": self._lookups}
        return [*living, {"past": True, **past}]

    def _bury(self, report: Report) -> None:
        for model in report["models"]:
            key = (model["name"], model["version"])
            self._gone[key] = added(self._gone.get(key, {}), {**model["stats"], "pending": 0})
        self._routes = added(self._routes, report.get("routes") or {})
        self._lookups = added(self._lookups, report.get("lookups") or {})
        told = {name: report.get(name) or {} for name in ("records", "answers")}
        self._queues = added(self._queues, {name: {**counts, "waiting": 0} for name, counts in told.items()})


def added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two snapshots of counters as one: numbers, lists of numbers, and mappings of them. Of a time it is the later one,
    of what is called largest the larger.

    >>> added({"rows": 1, "failure": {"a": 1}, "last_ms": 5}, {"rows": 2, "failure": {"b": 3}, "last_ms": 4})
    {'rows': 3, 'failure': {'a': 1, 'b': 3}, 'last_ms': 5}
    """
    total = dict(one)
    for name, value in other.items():
        known = total.get(name)
        if known is None:
            total[name] = value
        elif name in {"last_ms", "largest"}:
            total[name] = max(known, value)
        elif isinstance(value, Mapping):
            total[name] = added(known, value)
        elif isinstance(value, list):
            total[name] = [a + b for a, b in zip(known, value, strict=True)]
        else:
            total[name] = known + value
    return total
