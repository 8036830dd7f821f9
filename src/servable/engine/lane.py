"""Lane: one version's way from waiting requests to answers. Drains, batches while busy, splits by counted rows.

All that arrived in one turn of the event loop shares one model call: nobody waits when the lane is idle, and no timer
needs tuning. A call expected to be short runs on the loop; a longer one on the lane's own thread, while the next batch
gathers; both are an Executor's affair. Runs on one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, NamedTuple

from servable.domain.batch import Batch
from servable.domain.field import Fault
from servable.domain.model import Model
from servable.domain.signature import Signature
from servable.engine.executor import Executor, Outcome, Thread
from servable.engine.failures import model_failed, too_late
from servable.engine.policy import CostCurve, Crowd, Refusal, admit, cap_of
from servable.engine.queue import Queue
from servable.engine.request import Request
from servable.engine.stats import NS, Stats
from servable.errors import ModelFailed, NotReady, Overloaded, ServableError

LOOP_SHARE_S: Final = 0.002
"""After this long in model calls on the loop, connections get their turn."""
SWEEP_S: Final = 0.02
"""How often deadlines are looked after while a call runs on the thread."""

OnOver = Callable[[Sequence[Request], Batch, Batch | None], None]
"""Told of requests that are over: they shared a call of these inputs, with this answer or the error that they hold."""

Screen = Callable[[list[Request]], list[Request]]
"""Gives the requests that are to be computed; what it keeps back it answers itself."""


class Limits(NamedTuple):
    """What a lane may hold and how it may run; from the settings."""

    inline_s: float = 0.0005
    max_queue: int = 1024
    max_elements: int = 2**25


class Lane:
    """Runs one Model. `submit` is the only way in; answers come back through each request's `on_done`."""

    def __init__(  # noqa: PLR0917 - its parts; only `Serving` puts them together
        self,
        model: Model,
        signature: Signature,
        curve: CostCurve,
        stats: Stats,
        limits: Limits,
        on_over: OnOver | None = None,
        executor: Executor | None = None,
    ) -> None:
        """Without an `executor`, short calls run on the loop and longer ones on a thread; with one, all run there."""
        self.model = model
        self.curve = curve
        self.cap = cap_of(curve, batched=signature.batched)
        self._full_s = curve.seconds(self.cap)
        self.stats = stats
        self._signature = signature
        self._uniform = all(-1 not in field.shape[1:] for field in signature.inputs)
        self._inline_s = limits.inline_s if executor is None else -1.0
        self._max_queue = limits.max_queue
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._queue = Queue(stats)
        self._scheduled = False
        self._running: list[Request] = []
        self._started = 0.0
        self._executor = executor
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._screen: Screen | None = None

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing runs."""
        return not self._running and self._queue.requests == 0

    @property
    def load(self) -> int:
        """Requests that wait or run."""
        return len(self._running) + self._queue.requests

    @property
    def away(self) -> bool:
        """Its executor cannot take a call just now, though it may soon."""
        return self._executor is not None and self._executor.away

    def busy_s(self) -> float:
        """How long the executor's call has been running; 0 if none is."""
        return monotonic() - self._started if self._running else 0.0

    def stuck_s(self) -> float:
        """The same, where nobody would end that call but whoever ends this process."""
        return 0.0 if self._executor is not None and self._executor.bounded else self.busy_s()

    def unready(self) -> str:
        """Why calls cannot be answered at present; empty if they can."""
        return "" if self._executor is None else self._executor.unready()

    def look(self, screen: Screen) -> None:
        """Have all that is taken from the queue looked at, before it shares a call."""
        self._screen = screen

    def submit(self, request: Request) -> None:
        """Let a request in, or finish it with the reason why not."""
        waiting = self._queue
        if self._closed:
            self._fail(request, NotReady("this version is being unloaded: ask again", retry_after_s=0.1))
            return
        # With plenty of time and room, as nearly always, the question need not be asked.
        full_batches = waiting.rows / self.cap + 2.0
        if (waiting.requests or self._running) and (
            waiting.requests >= self._max_queue or request.deadline - request.arrived < full_batches * self._full_s
        ):
            refusal = self._refusal(request)
            if refusal is not None:
                reason = f"the model has no room for this request: {refusal.reason}"
                self._fail(request, Overloaded(reason, retry_after_s=refusal.retry_after_s))
                return
        self.stats.pending += 1
        waiting.put(request)
        if not self._scheduled and not self._running:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _refusal(self, request: Request) -> Refusal | None:
        waiting = self._queue
        running_s = self.curve.seconds(sum(waited.rows for waited in self._running)) if self._running else 0.0
        left_s = request.deadline - monotonic()
        remaining_s = max(running_s - self.busy_s(), 0.0)
        crowd = Crowd(waiting.requests, waiting.rows, remaining_s)
        return admit(crowd, self._max_queue, request.rows, left_s, self.cap, self.curve)

    async def drain(self) -> None:
        """Return when all that was let in is answered. Nothing more is let in."""
        self._closed = True
        while not self.idle:  # noqa: ASYNC110 - once in the life of a version; an event would cost at every answer
            await asyncio.sleep(SWEEP_S)

    def close(self) -> None:
        """Give back the model and the thread. What still waits is told to ask again."""
        self._closed = True
        for request in [*self._queue.clear(), *self._running]:
            self._fail(request, NotReady("this version was unloaded: ask again", retry_after_s=0.1))
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._executor is not None:
            self._executor.close()
        else:
            self.model.close()

    # ---- one turn of the loop

    def _turn(self) -> None:
        self._scheduled = False
        spent = 0.0
        while self._queue.requests:
            now = monotonic()
            taken = [
                request for request in self._queue.take(self.cap, uniform=self._uniform) if self._in_time(request, now)
            ]
            if taken and self._screen is not None:
                taken = self._screen(taken)
            if not taken:
                continue
            rows = sum(request.rows for request in taken)
            expected = self.curve.seconds(rows)
            if expected > self._inline_s:
                self._send(taken, now, expected)
                return
            batch = None
            try:
                batch = Batch.join([request.batch for request in taken])
                answer: Batch | Exception = self.model.predict(batch)
            except Exception as error:  # noqa: BLE001 - the wall: a model may raise anything
                answer = error
            self._deliver(taken, answer, now, monotonic() - now, batch)
            spent += expected
            if spent > LOOP_SHARE_S and self._queue.requests:
                self._scheduled = True
                self._loop.call_soon(self._turn)
                break
        self._count()

    def _in_time(self, request: Request, now: float) -> bool:
        if request.deadline > now:
            return True
        self._fail(request, too_late(request, now))
        return False

    def _count(self) -> None:
        self.stats.pending = self._queue.requests + len(self._running)

    def _deliver(
        self,
        requests: list[Request],
        answer: Batch | Exception,
        started: float,
        compute_s: float,
        batch: Batch | None = None,
    ) -> None:
        """Split the answer by counted rows and finish every request. `batch` is what the model was given, if at hand.

        Where a call for several failed, each is tried alone: nobody fails for what another one sent.
        """
        rows = sum(request.rows for request in requests)
        stats = self.stats
        stats.executed(rows, compute_s)
        self.curve.observe(rows, compute_s)
        self._full_s = self.curve.seconds(self.cap)
        if isinstance(answer, Batch):
            faults = self._misshapen(answer, rows)
            if faults:
                told = "; ".join(map(str, faults))
                answer = ModelFailed(f"the model's answer breaks its own contract: {told}")
        there = [request for request in requests if not request.over]
        stats.cancelled += len(requests) - len(there)
        if not isinstance(answer, Batch):
            if len(requests) > 1:
                self._queue.put_apart(there)
            elif there:
                self._fail(there[0], answer if isinstance(answer, ServableError) else model_failed(answer))
            return
        began = monotonic()
        start = 0
        for request in requests:
            if not request.over:
                request.queue_s = started - request.arrived
                request.compute_s = compute_s
                request.finish(answer, None, start)
            start += request.rows
        stats.answered_together(there, started, started + compute_s)
        stats.output_ns += int((monotonic() - began) * NS)
        if self._on_over is not None and there:
            self._on_over(
                there, Batch.join([request.batch for request in requests]) if batch is None else batch, answer
            )

    def _misshapen(self, answer: Batch, rows: int) -> list[Fault]:
        """Whether outputs are missing or hold another number of rows: answers would be shifted to other callers."""
        faults = []
        for field in self._signature.outputs:
            array = answer.columns.get(field.name)
            if array is None:
                faults.append(Fault(field.name, field.describe(), "nothing"))
            elif self._signature.batched and (array.ndim == 0 or array.shape[0] != rows):
                faults.append(Fault(field.name, f"{rows} rows", f"shape {list(array.shape)}"))
        return faults

    # ---- on the executor

    def _send(self, requests: list[Request], now: float, expected_s: float) -> None:
        if self._executor is None:
            self._executor = Thread(self._loop, self.model)
        self._running = requests
        self._started = now
        self._executor.run(requests, expected_s, self._returned)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _returned(self, answer: Outcome | list[Outcome], seconds: float) -> None:
        requests, self._running = self._running, []
        if isinstance(answer, list):
            for request, own in zip(requests, answer, strict=True):
                self._deliver([request], own, self._started, seconds / len(requests))
        else:
            self._deliver(requests, answer, self._started, seconds)
        if self._queue.requests and not self._scheduled:
            self._turn()
        else:
            self._count()

    def _sweep(self) -> None:
        """While a call runs: tell those whose time is up. Their late answers are dropped when they come."""
        self._sweeper = None
        now = monotonic()
        for request in [*self._queue.expired(now), *self._running]:
            if request.deadline <= now:
                self._fail(request, too_late(request, now))
        self._count()
        if self._running:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _fail(self, request: Request, error: ServableError) -> None:
        if not request.over:
            self.stats.failed(error.code)
            request.finish(None, error)
            if self._on_over is not None:
                self._on_over((request,), request.batch, None)
