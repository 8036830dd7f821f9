"""Hands: who does the parts of a job: processes of this machine, or those of a cluster. Chosen by `--engine`.

All do the same parts by the same code, in a worker process. What a job is does not know who did it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol

from servable.errors import UsageError
from servable.offline.crew import Crew
from servable.offline.early import Early
from servable.offline.order import Order, Part, Scored

ENGINES: Final = ("local", "spark", "ray")


class Hands(Protocol):
    """Whoever does parts."""

    def run(self, parts: Sequence[Part]) -> Iterator[Scored]:
        """Have all parts done; each report as it comes, its files in the job's folder. Raises what cannot be done."""
        ...


class Engine(NamedTuple):
    """`workers`: parts under way at once; None: one a core. `address`: of the cluster; empty: what Spark's or Ray's own
    configuration says, else this machine. `early`: workers of this machine that were started already.
    """

    name: str = "local"
    workers: int | None = None
    address: str = ""
    early: Early | None = None

    def hands(self, order: Order) -> AbstractContextManager[Hands]:
        """For one job. Entering raises MissingExtra, EnvironmentFault."""
        if self.name == "spark":
            from servable.offline.cluster.spark import SparkHands

            return SparkHands(order, self.workers, self.address)
        if self.name == "ray":
            from servable.offline.cluster.ray import RayHands

            return RayHands(order, self.workers, self.address)
        return Crew(order, self.workers or len(os.sched_getaffinity(0)), self.early)

    def demand(self) -> None:
        """Raise UsageError for one that is not there."""
        if self.name not in ENGINES:
            raise UsageError(f"--engine: expected one of {', '.join(ENGINES)}, got {self.name!r}")
        if self.address and self.name == "local":
            raise UsageError("--cluster says where Spark or Ray is: give --engine spark or ray")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers: expected 1 or more, got {self.workers}")
