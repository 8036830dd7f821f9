"""Lanes: one version's model in several processes: a lane to each, and every request to the least busy one.

It looks like a Lane from outside. Nothing is decided twice: each lane batches, refuses and times out as it would alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from servable.domain.signature import Signature
from servable.engine.executor import Executor
from servable.engine.lane import Lane, Limits, OnOver, Screen
from servable.engine.loading import Loaded
from servable.engine.process.remote import RemoteModel
from servable.engine.request import Request
from servable.engine.stats import Stats


def lane_of(loaded: Loaded, signature: Signature, stats: Stats, limits: Limits, on_over: OnOver | None) -> Lane | Lanes:
    """The way to a loaded model: a lane in this process, to its own process, or to each of several."""
    model = loaded.model
    executors: Sequence[Executor | None] = model.executors() if isinstance(model, RemoteModel) else [None]
    if len(executors) == 1:
        return Lane(model, signature, loaded.curve, stats, limits, on_over, executors[0])
    each = limits._replace(max_queue=max(limits.max_queue // len(executors), 1))
    return Lanes([_Sibling(model, signature, loaded.curve, stats, each, on_over, executor) for executor in executors])


class Lanes:
    """Several lanes to the same model. They share its cost curve and its Stats."""

    def __init__(self, lanes: list[_Sibling]) -> None:
        self._lanes = lanes
        for lane in lanes:
            lane.siblings = lanes
        self.model = lanes[0].model
        self.curve = lanes[0].curve
        self.cap = lanes[0].cap

    def submit(self, request: Request) -> None:
        """To the lane with the fewest requests, of those whose process is there."""
        min(self._lanes, key=_reluctance).submit(request)

    def look(self, screen: Screen) -> None:
        """Have all that is taken from a queue looked at."""
        for lane in self._lanes:
            lane.look(screen)

    def unready(self) -> str:
        """Why calls cannot be answered at present; empty if any lane can."""
        reasons = [lane.unready() for lane in self._lanes]
        return reasons[0] if all(reasons) else ""

    def stuck_s(self) -> float:
        """Of the lane that is stuck for the longest."""
        return max(lane.stuck_s() for lane in self._lanes)

    async def drain(self) -> None:
        """Return when all that was let in is answered. Nothing more is let in."""
        await asyncio.gather(*(lane.drain() for lane in self._lanes))

    def close(self) -> None:
        """Give back the model."""
        for lane in self._lanes:
            lane.close()


class _Sibling(Lane):
    """A lane that shares its Stats with others."""

    siblings: Sequence[Lane] = ()

    def _count(self) -> None:
        self.stats.pending = sum(lane.load for lane in self.siblings)


def _reluctance(lane: Lane) -> tuple[bool, int]:
    return lane.away, lane.load
