"""Request: one caller's batch on its way through the engine, and the answer it comes back with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.rule import Fired
from servable.errors import ModelFailed, ServableError
from servable.wire.open_inference import Codec

NEVER: Final = float("inf")


class Waiting(Protocol):
    """Where a request waits."""

    def leave(self, request: Request) -> None: ...


class Answering(Protocol):
    """A version that answers, as whoever tells of its answers needs it."""

    name: str
    version: str
    bundle: Bundle
    codec: Codec


class Request:
    """A batch that waits for its answer. Doors make it, a lane finishes it, exactly once.

    `deadline` is a point of `time.monotonic()`. Lower `priority` goes first (1 highest; 0 means the default, the
    lowest). `on_done(request)` is called on the event loop once `answer` or `error` is set; never after `cancel()`.
    """

    __slots__ = (
        "alone", "answer", "arrived", "batch", "by", "compute_s", "deadline", "error", "fired", "id", "on_done", "over",
        "priority", "queue_s", "rows", "start", "waits_in",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        batch: Batch,
        on_done: Callable[[Request], None],
        deadline: float = NEVER,
        priority: int = 0,
        arrived: float | None = None,
    ) -> None:
        self.id = id
        self.batch = batch
        self.rows = batch.rows
        self.on_done = on_done
        self.deadline = deadline
        self.priority = priority
        self.arrived = monotonic() if arrived is None else arrived
        self.answer: Batch | None = None
        """Of the call that this request shared: its own rows begin at `start`; `result` cuts them out."""
        self.start = 0
        self.error: ServableError | None = None
        self.by: Answering | None = None
        """Who answered in the place of the version that was asked, if somebody did."""
        self.fired: Sequence[Fired] = ()
        """The rules that did."""
        self.queue_s = 0.0
        self.compute_s = 0.0
        self.over = False
        self.waits_in: Waiting | None = None
        """The queue that it stands in, while it does."""
        self.alone = False
        """Not to share a call with others: one that it shared has failed."""

    def finish(self, answer: Batch | None, error: ServableError | None = None, start: int = 0) -> None:
        """Set the outcome and tell the door. Later calls, and any after `cancel`, do nothing: a late answer is
        dropped.
        """
        if self.over:
            return
        self.over = True
        self.answer = answer
        self.start = start
        self.error = error
        self.on_done(self)

    def result(self) -> Batch:
        """The answer to these rows, or its error raised."""
        answer = self.answer
        if answer is None:
            raise self.error or ModelFailed("the request ended without an answer")
        return answer if answer.rows == self.rows else answer.slice(self.start, self.start + self.rows)

    def cancel(self) -> None:
        """The caller is gone: nobody is told. A request that waits gives up its place; what runs is let run."""
        self.over = True
        if self.waits_in is not None:
            self.waits_in.leave(self)
