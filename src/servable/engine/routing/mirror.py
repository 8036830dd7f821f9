"""Mirror: gives a shadow copies of what a version was asked, and compares the answers. Nobody waits for it.

Copies wait in a bounded list, go to the shadow's lane together, and take no more of the door's time than
`policy.rest_s` allows; what there is no room for is dropped, and counted.
"""

from __future__ import annotations

import asyncio
from time import monotonic, perf_counter
from typing import Final

from servable.domain.contract import handed
from servable.engine.request import Request
from servable.engine.routing.comparison import compare
from servable.engine.routing.counts import ShadowCounts
from servable.engine.routing.policy import rest_s
from servable.engine.serving import Serving
from servable.engine.stats import NS
from servable.errors import Unavailable

MOST_WAITING: Final = 256
"""Requests that may wait to be copied."""
MOST_BYTES: Final = 32 * 1024 * 1024
"""And the size of their inputs."""
PAUSE_S: Final = 0.02
"""Between two turns, at least: what came meanwhile shares a call."""
PATIENCE_S: Final = 10.0
"""What a shadow may take to answer."""
MARK: Final = "~shadow"
"""Behind the id of the original: in records, a shadow's prediction is nobody's answer."""


class Copy(Request):
    """A request to a shadow: the rows of another one, whose answer is compared with its own."""

    __slots__ = ("original",)

    original: Request


class Mirror:
    """To one shadow."""

    def __init__(self, shadow: Serving, counts: ShadowCounts) -> None:
        self._shadow = shadow
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Request] = []
        self._bytes = 0
        self._under_way = 0
        self._spent_s = 0.0
        self._compute_ns = shadow.stats.compute_ns
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def of(self, serving: Serving) -> bool:
        """Whether this version is the shadow itself."""
        return serving.lane is self._shadow.lane

    def copy(self, request: Request) -> None:
        """Let the shadow have what this request asks, once it is answered."""
        if len(self._waiting) >= MOST_WAITING:
            self._counts.dropped += 1
            return
        size = sum([array.nbytes for array in request.batch.columns.values()])
        if self._bytes + size > MOST_BYTES:
            self._counts.dropped += 1
            return
        self._waiting.append(request)
        self._bytes += size
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_later(PAUSE_S, self._wake)

    def close(self) -> None:
        """No more copies. What waits is let go."""
        self._closed = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self) -> None:
        """Let the loop turn once, to see how busy it is."""
        self._loop.call_soon(self._turn, perf_counter())

    def _turn(self, woken: float) -> None:
        """Send what is answered and fits one call, unless the last is still under way; then rest."""
        began = perf_counter()
        self._timer = None
        if not self._under_way:
            self._send()
        if (self._waiting or self._under_way) and not self._closed:
            rest = max(PAUSE_S, rest_s(self._took_s(began), began - woken))
            self._timer = self._loop.call_later(rest, self._wake)

    def _send(self) -> None:
        rows, cap = 0, self._shadow.lane.cap
        chosen: list[Request] = []
        waiting: list[Request] = []
        for request in self._waiting:
            if not request.over or (rows + request.rows > cap and chosen):
                waiting.append(request)
            elif request.answer is not None or request.error is not None:
                chosen.append(request)
                rows += request.rows
        self._waiting = waiting
        self._bytes = sum(array.nbytes for request in waiting for array in request.batch.columns.values())
        deadline = monotonic() + PATIENCE_S
        copies = []
        for request in chosen:
            batch = handed(request.batch, self._shadow.signature)
            if batch is None:
                self._counts.failed += request.answer is not None
                continue
            copy = Copy(f"{request.id}{MARK}", batch, self._compared, deadline)
            copy.original = request
            copies.append(copy)
        self._under_way = len(copies)
        for copy in copies:
            self._shadow.submit(copy)

    def _compared(self, copy: Request) -> None:
        assert isinstance(copy, Copy)  # noqa: S101 - no other comes here
        began = perf_counter()
        self._under_way -= 1
        counts, original = self._counts, copy.original
        if isinstance(copy.error, Unavailable):
            counts.dropped += 1  # it has no room, or is left alone: that says nothing of its answers
        elif copy.answer is None:
            counts.failed += original.answer is not None
        elif original.answer is None or original.by is not None:
            counts.rescued += 1
        else:
            counts.add(compare(original.result(), copy.result()))
        self._spent_s += perf_counter() - began

    def _took_s(self, began: float) -> float:
        """What this turn, the comparisons and the shadow's calls have taken since the last one."""
        compute_ns = self._shadow.stats.compute_ns
        spent_s = perf_counter() - began + self._spent_s + (compute_ns - self._compute_ns) / NS
        self._spent_s, self._compute_ns = 0.0, compute_ns
        return spent_s
