"""Serving: one version of one model, loaded, measured, proven, and open for requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import time

from servable.domain.batch import Batch
from servable.domain.generation import Prompt
from servable.domain.record import Records
from servable.domain.signature import Signature
from servable.engine.guarding import Guarding, Part
from servable.engine.lane import Limits, OnOver
from servable.engine.lanes import lane_of
from servable.engine.loading import Loaded
from servable.engine.naming import naming
from servable.engine.plan import State, Target
from servable.engine.request import Request
from servable.engine.routing.breaker import Breaker
from servable.engine.routing.telling import Telling, begin
from servable.engine.said import recorder
from servable.engine.speakers import generations_of
from servable.engine.stats import Stats
from servable.wire.open_inference import Codec

Begin = Callable[[Prompt, float, str], Awaitable[Telling]]
"""Of a prompt, the seconds that it may take, and the request's id."""


class Serving:
    """What a door needs to answer for a version: its names, its contract, its codec and its lane."""

    def __init__(
        self,
        target: Target,
        loaded: Loaded,
        limits: Limits,
        on_record: Callable[[Records], None] | None = None,
        stats: Stats | None = None,
        find: Callable[[str], Serving | None] | None = None,
    ) -> None:
        """`stats`: those of the same version loaded before, which go on. `find` gives what serves under a Ref, for
        rules that hand rows over.
        """
        on_record = _and(on_record, getattr(loaded.model, "keep", None))
        self.name = target.name
        self.version = target.version
        self.generation = target.generation
        self.bundle = loaded.bundle
        teacher = getattr(loaded.model, "teacher", None)
        self.learns = teacher is not None
        """What it is comes of a journal: there is nothing to load anew."""
        self.end: Callable[[], Awaitable[None]] | None = getattr(teacher, "end", None)
        """Has a learner keep what would be lost, before all ends."""
        guard = loaded.guard
        self.signature: Signature = loaded.bundle.signature if guard is None else guard.signature
        self.state = "READY"
        self.reason = ""
        self.loaded_at = time()
        self.stats = stats or Stats()
        self.codec = Codec(
            self.signature, self.name, self.version, loaded.bundle.manifest.labels, max_elements=limits.max_elements
        )
        on_over: OnOver | None = None if on_record is None else partial(self._record, on_record)
        if on_over is not None and guard is not None:
            on_over = partial(_without_parts, on_over)
        self.lane = lane_of(loaded, loaded.bundle.signature, self.stats, limits, on_over)
        on_said = None if on_record is None else recorder(self.name, self.version, on_record)
        self.generations = generations_of(loaded.model, self.stats, limits.max_queue, on_said)
        """Of a model that makes texts."""
        self.begin: Begin = partial(begin, self)
        """Lets a text begin, or raises why it cannot."""
        self.submit: Callable[[Request], None] = self.lane.submit
        if guard is not None:
            on_guarded = None if on_record is None else partial(self._record_guarded, on_record)
            self.submit = Guarding(guard, self.lane, self.stats, find or _nothing, on_guarded).submit
        self.submit = naming(self.signature, self.submit)
        self.breaker = Breaker(f"{self.name}:{self.version}", self.submit, self.stats, self._enter_by)

    def _enter_by(self, submit: Callable[[Request], None]) -> None:
        self.submit = submit

    def as_state(self) -> State:
        unready = self.lane.unready()
        if unready and self.state == "READY":
            return State(self.name, self.version, "UNAVAILABLE", unready)
        return State(self.name, self.version, self.state, self.reason)

    async def retire(self) -> None:
        """Answer what was let in, then give back the model. The caller has taken this version out of its Route."""
        self.state = "UNLOADING"
        await self.lane.drain()
        if self.generations is not None:
            await self.generations.drain()
            self.generations.close()
        self.lane.close()

    def _record(
        self, on_record: Callable[[Records], None], requests: Sequence[Request], inputs: Batch, answer: Batch | None
    ) -> None:
        """These requests are over. They shared the call of these batches, or the first one's error."""
        first = requests[0]
        on_record(
            Records(
                self.name,
                self.version,
                time(),
                first.compute_s,
                [request.id for request in requests],
                [request.start for request in requests],
                [request.rows for request in requests],
                [request.queue_s for request in requests],
                inputs,
                answer,
                "" if first.error is None else first.error.code,
            )
        )

    def _record_guarded(self, on_record: Callable[[Records], None], request: Request) -> None:
        """A request is over that rules concerned: it has an answer of its own, whatever call its rows shared."""
        on_record(
            Records(
                self.name,
                self.version,
                time(),
                request.compute_s,
                (request.id,),
                (0,),
                (request.rows,),
                (request.queue_s,),
                request.batch,
                request.answer,
                "" if request.error is None else request.error.code,
                request.fired,
            )
        )


def _and(
    first: Callable[[Records], None] | None, second: Callable[[Records], None] | None
) -> Callable[[Records], None] | None:
    """Both, one after the other; a model that learns from what it is asked has use for records too."""
    if first is None or second is None:
        return first or second

    def both(records: Records) -> None:
        first(records)
        second(records)

    return both


def _without_parts(on_over: OnOver, requests: Sequence[Request], inputs: Batch, answer: Batch | None) -> None:
    """Requests that were over in a lane, less the parts of those that are not: they are told of when they are."""
    whole = [request for request in requests if not (isinstance(request, Part) and request.judged)]
    if whole:
        on_over(whole, inputs, answer)


def _nothing(_: str) -> None:
    """Alone in its process there is nobody to hand rows over to."""
