"""Executors: where a lane's longer calls run while the next batch gathers. A thread here, a model process elsewhere.

A Lane hands over one call at a time and hears of its outcome on the event loop.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

from servable.domain.batch import Batch
from servable.domain.model import Model
from servable.engine.request import Request

Outcome = Batch | Exception
Returned = Callable[[Outcome | list[Outcome], float], None]
"""Takes the outcome of a call and how many seconds it took: one for all its requests together, or a list of one each.
"""


class Executor(Protocol):
    """Runs one call at a time, off the event loop."""

    bounded: bool
    """Whether it ends calls that run too long by itself, so that nobody else need."""

    def run(self, requests: Sequence[Request], expected_s: float, returned: Returned) -> None:
        """Answer these requests in one call, expected to take `expected_s`; `returned` is called once, on the loop,
        later. Not called while another call runs.
        """
        ...

    @property
    def away(self) -> bool:
        """It cannot take a call just now, though it may soon."""
        ...

    def unready(self) -> str:
        """Why calls cannot be answered at present; empty if they can."""
        ...

    def close(self) -> None:
        """Give back the model, after the call that runs. `returned` is not called any more."""
        ...


class Thread:
    """The lane's one worker thread. Calls go in, and come back on the loop with their outcome and duration."""

    bounded = False
    away = False

    def __init__(self, loop: asyncio.AbstractEventLoop, model: Model) -> None:
        self._loop = loop
        self._model = model
        self._calls: queue.SimpleQueue[tuple[Sequence[Request], Returned] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="servable-lane", daemon=True).start()

    def run(self, requests: Sequence[Request], expected_s: float, returned: Returned) -> None:  # noqa: ARG002 - the port's
        self._calls.put((requests, returned))

    def unready(self) -> str:
        return ""

    def close(self) -> None:
        """Close the model after the calls before it, on this thread: it may be in the middle of one."""
        self._calls.put(None)

    def _work(self) -> None:
        while True:
            job = self._calls.get()
            if job is None:
                self._model.close()
                return
            requests, returned = job
            start = monotonic()
            try:
                answer: Outcome = self._model.predict(Batch.join([request.batch for request in requests]))
            except Exception as error:  # noqa: BLE001 - the wall: a model may raise anything
                answer = error
            try:
                self._loop.call_soon_threadsafe(returned, answer, monotonic() - start)
            except RuntimeError:  # the loop is closed: nobody is left to tell
                return
