"""Load: what one run of a generator saw."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True)
class Load:
    """Rate in answers a second, latencies in milliseconds.

    `busy` is the generator's share of its core: near 1 it was the bottleneck, and the server could have done more.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    requests: int
    busy: float


class LoadFailed(Exception):
    """A generator could not run, or some of its requests were not answered."""


def timed(command: Sequence[str]) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run a generator to its end: what it printed, and the share of a core that it used."""
    used_before, start = _children_s(), perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run, (_children_s() - used_before) / (perf_counter() - start)


def _children_s() -> float:
    """CPU seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
