"""Guarding: the way into a version that has rules. Judges each request, sends its rows where the rules say, and puts
the answer together. A request that no rule concerns goes straight to the lane.

What the rules say is `rules/guard.py`'s, the same for every door and for jobs; here is only who is asked, and when.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Final, Protocol

from servable.domain.batch import Batch
from servable.domain.rule import Fired, shared_out
from servable.domain.signature import Signature
from servable.engine.lane import Lane
from servable.engine.lanes import Lanes
from servable.engine.request import Request
from servable.engine.stats import Stats
from servable.errors import ModelFailed, NotReady, Refused, ServableError
from servable.rules.guard import MODEL, Guard, Steps
from servable.rules.handover import FARTHEST, conformed, taken_by
from servable.rules.whole import Answered

MANY: Final = 2000
"""Rows of one request that may be judged on the loop, whatever the rules."""

logger = logging.getLogger("servable.engine")

OnGuarded = Callable[[Request], None]
"""Told of each request that rules concerned, once it is over."""


class Standing(Protocol):
    """A version that rows are handed over to."""

    name: str
    version: str
    signature: Signature

    @property
    def submit(self) -> Callable[[Request], None]: ...


class Part(Request):
    """Some rows of a request, on their way to the model or to a fallback. `judged` ones are the model's own, and no
    requests in its records; `distance` is how often rows were handed over.
    """

    __slots__ = ("distance", "judged")

    distance: int
    judged: bool


class Guarding:
    """Of one version. `submit` is the only way in.

    Where only inputs are judged, requests go to the lane, which shows all that would share its next call: judging them
    together costs about what judging one does. Where answers are, each goes its own way from the start.
    """

    def __init__(
        self,
        guard: Guard,
        lane: Lane | Lanes,
        stats: Stats,
        find: Callable[[str], Standing | None],
        on_guarded: OnGuarded | None = None,
    ) -> None:
        """`find` gives what serves under a Ref at this moment."""
        self.guard = guard
        self.lane = lane
        self.stats = stats
        self.find = find
        self.on_guarded = on_guarded
        self._together = all(-1 not in field.shape[1:] for field in guard.signature.inputs)
        self.submit: Callable[[Request], None] = self._begin
        if not guard.answers:
            self.submit = lane.submit
            lane.look(self._screen)
        if not guard.quick:
            self._small, self.submit = self.submit, self._by_size

    def _by_size(self, request: Request) -> None:
        """Many rows before rules that take their time are judged on a thread: the loop has others to answer."""
        if request.rows <= MANY:
            self._small(request)
            return
        judged = asyncio.get_running_loop().run_in_executor(None, self.guard.judge, request.batch)
        judged.add_done_callback(partial(self._judged, request))

    def _judged(self, request: Request, judged: asyncio.Future[list[Fired]]) -> None:
        if judged.cancelled() or request.over:
            return
        error = judged.exception()
        if error is not None:
            self.stats.failed(ModelFailed.code)
            request.finish(None, _unexpected(error))
        else:
            _Course(self, request, self.guard.steps(request.batch, judged.result()), self.lane.submit).go(None)

    def _begin(self, request: Request) -> None:
        _Course(self, request, self.guard.steps(request.batch), self.lane.submit).go(None)

    def _screen(self, taken: list[Request]) -> list[Request]:
        """What is to share a call: of the requests that would, those that rules leave alone, and of the others the rows
        that rules leave to the model.
        """
        fresh = [request for request in taken if not (isinstance(request, Part) and request.judged)]
        if not fresh:
            return taken
        try:
            if self._together:
                fired = self.guard.judge(Batch.join([request.batch for request in fresh]))
                if not fired:
                    return taken
                shares = shared_out(fired, [request.rows for request in fresh])
            else:
                shares = [self.guard.judge(request.batch) for request in fresh]
        except Exception as error:  # noqa: BLE001 - the wall: the caller gets a status, never a traceback
            for request in fresh:
                self.stats.failed(ModelFailed.code)
                request.finish(None, _unexpected(error))
            return [request for request in taken if request not in fresh]
        concerned = {id(request): own for request, own in zip(fresh, shares, strict=True) if own}
        asked = [request for request in taken if id(request) not in concerned]
        for request in fresh:
            if (own := concerned.get(id(request))) is not None:
                _Course(self, request, self.guard.steps(request.batch, own), asked.append).go(None)
        return asked


class _Course:
    """One request, step by step."""

    def __init__(self, guarding: Guarding, request: Request, steps: Steps, to_model: Callable[[Request], None]) -> None:
        """`to_model` takes the rows that are the model's."""
        self._to_model = to_model
        self._guarding = guarding
        self._request = request
        self._steps = steps
        self._by_lane: ServableError | bool = False
        """What the lane has counted of this request: an answer (true), or this failure."""
        self._waits_for = 0
        self._answers: dict[str, Answered] = {}
        self._error: ServableError | None = None

    def go(self, answers: dict[str, Answered] | None) -> None:
        """The next step, or the end."""
        try:
            asks = next(self._steps) if answers is None else self._steps.send(answers)
        except StopIteration as over:
            self._finish(over.value.answer, over.value.fired)
        except Refused as refused:
            self._fail(refused, refused.fired)
        except Exception as error:  # noqa: BLE001 - the wall: the caller gets a status, never a traceback
            self._fail(_unexpected(error))
        else:
            self._answers = {}
            self._waits_for = len(asks)
            for ref, batch in asks.items():
                self._ask(ref, batch)

    def _ask(self, ref: str, batch: Batch) -> None:
        request = self._request
        part = Part(request.id, batch, self._by_model, request.deadline, request.priority)
        part.distance = 1
        part.judged = ref == MODEL
        if ref == MODEL:
            self._to_model(part)
            return
        try:
            standing = self._guarding.find(ref)
            if standing is None:
                raise NotReady(
                    f"a rule hands rows over to {ref!r}, which is not served here: register it, or serve it as well",
                    retry_after_s=5.0,
                )
            part.distance += request.distance if isinstance(request, Part) else 0
            if part.distance > FARTHEST:
                raise ModelFailed(f"rules hand rows over in a circle, the last time to {ref!r}")
            part.batch = taken_by(standing.signature, batch, self._guarding.guard.signature)
        except ServableError as error:
            self._arrived(ref, error)
            return
        part.on_done = partial(self._by_fallback, ref, standing)
        standing.submit(part)

    def _by_model(self, part: Request) -> None:
        request = self._request
        request.queue_s, request.compute_s = part.queue_s, part.compute_s
        self._by_lane = part.error or True
        self._arrived(MODEL, part.error or Answered(part.result()))

    def _by_fallback(self, ref: str, by: Standing, part: Request) -> None:
        named = f"{by.name}:{by.version}"
        try:
            self._arrived(ref, Answered(conformed(part.result(), self._guarding.guard.model, named), named))
        except ServableError as error:
            self._arrived(ref, error)

    def _arrived(self, ref: str, answer: Answered | ServableError) -> None:
        """The answer to a part, or why there is none; after the last, on with it."""
        if isinstance(answer, Answered):
            self._answers[ref] = answer
        else:
            self._error = self._error or answer
        self._waits_for -= 1
        if self._waits_for == 0:
            if self._error is None:
                self.go(self._answers)
            else:
                self._fail(self._error)

    def _finish(self, answer: Batch, fired: Sequence[Fired]) -> None:
        request, stats = self._request, self._guarding.stats
        if self._by_lane is False:
            stats.answered(request.rows, 0.0, monotonic() - request.arrived)
        self._over(answer, None, fired)

    def _fail(self, error: ServableError, fired: Sequence[Fired] = ()) -> None:
        stats = self._guarding.stats
        if self._by_lane is True:
            stats.withdraw()
        if self._by_lane is not error:
            stats.failed(error.code)
        self._over(None, error, fired)

    def _over(self, answer: Batch | None, error: ServableError | None, fired: Sequence[Fired]) -> None:
        request = self._request
        if request.over:
            return
        for each in fired:
            self._guarding.stats.fired(each)
        request.fired = fired
        request.finish(answer, error)
        if self._guarding.on_guarded is not None:
            self._guarding.on_guarded(request)


def _unexpected(error: BaseException) -> ModelFailed:
    logger.error("a rule failed with %s", type(error).__name__, exc_info=error)
    return ModelFailed(f"a rule failed with {type(error).__name__}; the server's log has the details")
