"""Report: what one door has done, as plain values, for `/metrics` and statistics; and the same of all doors
together.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from servable.engine.host import Host
from servable.version import __version__


class Counted(Protocol):
    """Something that counts records on their way to a sink."""

    def counts(self) -> dict[str, int]: ...


class Report:
    """The snapshot of this door."""

    def __init__(
        self,
        host: Host,
        slot: int,
        records: Counted | None,
        answers: Counted | None = None,
        more: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """`more` gives what shelves count: their words, beside ours."""
        self._more = more
        self._host = host
        self._slot = slot
        self._records = records
        self._answers = answers
        self._started = time.time()

    def snapshot(self) -> dict[str, Any]:
        """Everything countable, JSON-ready. `models` holds `Stats.snapshot()` of each version by name and version,
        `routes` what each Route with more than a live version did.
        """
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "slot": self._slot,
            "pid": os.getpid(),
            "version": __version__,
            "started": self._started,
            "ready": self._host.ready,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "rss_bytes": _resident(usage.ru_maxrss),
            "open_fds": _open_fds(),
            "records": None if self._records is None else self._records.counts(),
            "answers": None if self._answers is None else self._answers.counts(),
            "models": [
                {
                    "name": serving.name,
                    "version": serving.version,
                    "state": serving.state,
                    "loaded_at": serving.loaded_at,
                    "circuit_open": serving.breaker.open,
                    "stats": serving.stats.snapshot(),
                    "learning": _learning(serving.lane.model),
                }
                for serving in self._host.servings()
            ],
            "routes": {name: counts.snapshot() for name, counts in self._host.routes.items()},
            **self._more(),
        }


def _learning(model: Any) -> dict[str, Any] | None:
    """How a model that learns goes; None for others."""
    teacher = getattr(model, "teacher", None)
    told: dict[str, Any] | None = None if teacher is None else teacher.standing()
    return told


def _resident(peak: int) -> int:
    """Bytes of memory in use now; where the kernel does not say, the peak."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a hundred bytes, each scrape
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        return peak if sys.platform == "darwin" else peak * 1024


def _open_fds() -> int:
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - a count, no paths
    except OSError:
        return 0
