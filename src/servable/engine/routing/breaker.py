"""Breaker: stands before a version that keeps failing, so that callers hear at once what they would have waited for.

While all is well it is not on the way of a request at all: it hears of failures only. Open, it refuses; after a pause
it lets one request through at a time, and closes when enough of them went well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final

from servable.engine.request import Request
from servable.engine.routing.policy import Tolerance, pause_s, trips
from servable.engine.stats import Stats
from servable.errors import CircuitOpen, DeadlineExceeded, ModelFailed

Submit = Callable[[Request], None]

FAULTS: Final = frozenset({ModelFailed.code, DeadlineExceeded.code})
"""What speaks against a model. A full queue, or a process that is being replaced, is looked after elsewhere."""

logger = logging.getLogger("servable.engine")


class Probe:
    """One that is let through to see how it ends; `over` once it has."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False


class Breaker:
    """That of one version in one door."""

    def __init__(
        self,
        name: str,
        submit: Submit,
        stats: Stats,
        enter_by: Callable[[Submit], None],
        tolerance: Tolerance | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`submit` is the way to the model; `enter_by` puts another in its place, or it back."""
        self._name = name
        self._submit = submit
        self._stats = stats
        self._enter_by = enter_by
        self._tolerance = tolerance or Tolerance()
        self._clock = clock
        self._since = -self._tolerance.window_s
        self._failed = 0
        self._late = 0
        self._answered = 0
        self._open = False
        self._in_a_row = 0
        self._until = 0.0
        self._probe: Request | Probe | None = None
        self._good = 0
        stats.on_failed = self.failed

    @property
    def open(self) -> bool:
        """Whether requests are refused, but for those that try."""
        return self._open

    def failed(self, code: str) -> None:
        """A request has failed with this code."""
        if self._open or code not in FAULTS:
            return
        now = self._clock()
        if now - self._since > self._tolerance.window_s:
            self._since, self._failed, self._late, self._answered = now, 0, 0, self._stats.success
        self._failed += code == ModelFailed.code
        self._late += code == DeadlineExceeded.code
        if trips(self._failed, self._late, self._stats.success - self._answered, self._tolerance):
            self._trip(now)

    def _trip(self, now: float) -> None:
        self._stats.circuit_opened += 1
        self._open = True
        self._good = 0
        self._in_a_row += 1
        pause = pause_s(self._in_a_row, self._tolerance)
        self._until = now + pause
        self._enter_by(self._refuse)
        logger.warning("%s keeps failing: its circuit is open for %g s", self._name, pause)

    def let_in(self) -> Probe | None:
        """For what is no Request, a text: None, or, of one that is let through to try, what `ended` is told about.

        Raises CircuitOpen.
        """
        if not self._open:
            return None
        if not self._may_try():
            raise self._left_alone()
        self._probe = probe = Probe()
        return probe

    def ended(self, code: str) -> None:
        """One that was let through has ended: well, or with the code of an error."""
        self._probe = None
        if not code:
            self._good += 1
            if self._good >= self._tolerance.probes:
                self._close()
        elif code in FAULTS:
            self._trip(self._clock())

    def _refuse(self, request: Request) -> None:
        if self._may_try():
            self._probe = request
            request.on_done = partial(self._probed, request.on_done)
            self._submit(request)
        else:
            request.finish(None, self._left_alone())

    def _may_try(self) -> bool:
        return self._clock() >= self._until and (self._probe is None or self._probe.over)

    def _left_alone(self) -> CircuitOpen:
        self._stats.failed(CircuitOpen.code)
        wait_s = max(self._until - self._clock(), self._tolerance.first_s)
        return CircuitOpen(f"{self._name} keeps failing and is left alone: ask again", retry_after_s=wait_s)

    def _probed(self, on_done: Submit, request: Request) -> None:
        """What came of a request that was let through."""
        self.ended("" if request.error is None else request.error.code)
        on_done(request)

    def _close(self) -> None:
        self._open = False
        self._in_a_row = 0
        self._since = self._clock() - self._tolerance.window_s - 1
        self._enter_by(self._submit)
        logger.info("%s answers again: its circuit is closed", self._name)
