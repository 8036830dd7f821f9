"""Bench: how long and how often to measure, and the order in which two servers take turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from benchmarks.load.checked import checked
from benchmarks.load.load import Load
from benchmarks.load.wrk import closed_loop
from benchmarks.machine import LOAD_CORE, cpu_s
from benchmarks.traffic import Traffic

T = TypeVar("T")

CONNECTIONS: Final = 64
WARM_UP_S: Final = 1.0
GENERATOR_LIMIT: Final = 0.95
"""A generator busier than this may have been the bottleneck."""


class Cost(NamedTuple):
    """Requests a second, and the processor time of one, in µs: the fairer where others work beside us."""

    rate: float
    cpu_us: float


@dataclass(frozen=True)
class Bench:
    """`tell` is called with what is being done, for the progress bar."""

    repeats: int
    seconds: float
    tell: Callable[[str], None]

    def warm(self, *all_traffic: Traffic, connections: int = CONNECTIONS) -> None:
        """Ask each server over all connections at once and judge every answer, before anything is timed."""
        for traffic in all_traffic:
            checked(traffic, connections, WARM_UP_S)

    def load(self, traffic: Traffic, connections: int = CONNECTIONS, core: int = LOAD_CORE) -> Load:
        """One timed run of the closed loop, from `core`."""
        return closed_loop(traffic, connections, self.seconds, core)

    def cost(self, traffic: Traffic, door: int) -> Cost:
        """The same, and what its requests cost the process that answers."""
        before = cpu_s(door)
        load = self.load(traffic)
        return Cost(load.rate, (cpu_s(door) - before) / load.requests * 1e6)

    def turns(self, *measures: Callable[[], T]) -> list[tuple[T, ...]]:
        """Each measure once a repeat, A B then B A and so on, so that a drift of the machine meets all alike."""
        rounds = []
        for repeat in range(self.repeats):
            self.tell(f"{repeat + 1} of {self.repeats}")
            order = range(len(measures)) if repeat % 2 == 0 else range(len(measures) - 1, -1, -1)
            seen = {place: measures[place]() for place in order}
            rounds.append(tuple(seen[place] for place in range(len(measures))))
        return rounds


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def rate_of(loads: Sequence[Load | Cost]) -> float:
    """The median rate of some runs."""
    return median([load.rate for load in loads])


def limited_by_generator(loads: Sequence[Load]) -> bool:
    """Whether the generator, not the server, may have set the rate in any of the runs."""
    return any(load.busy > GENERATOR_LIMIT for load in loads)
