"""What learners answer over HTTP: examples with their outcomes, and, behind `/feedback`, outcomes of predictions.

An answer of 202 says that they are on the disk; with `?wait=applied`, one of 200 that predictions are computed with
them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

from servable.domain.batch import Array, Batch
from servable.domain.endpoint import ANY, Endpoint
from servable.domain.record import ids_of
from servable.domain.signature import Signature
from servable.errors import InvalidInput, Unsupported
from servable.online import messages
from servable.online.event import column, columns
from servable.online.teacher import Teacher
from servable.wire.outcomes import EXAMPLE, read_outcomes

LEARN: Final = Endpoint(
    "POST",
    "/v2/models/{model}/learn",
    "feedback",
    "learn",
    "Examples with their outcomes, for a model that learns",
    ANY,
)
LEARNING: Final = Endpoint(
    "GET", "/v2/models/{model}/learning", "viewer", "learning", "How far it has learned, how well, and who answers"
)
APPLIED: Final = "applied"


class Pupil(NamedTuple):
    """A model that learns, as its routes need it. Its name need not be the one that was asked: a bandit learns by what
    is told of the model whose versions it chooses.
    """

    teacher: Teacher
    signature: Signature
    decode: Callable[[bytes], tuple[Batch, dict[str, Any]]]
    """The body of an inference request as a batch that the signature has checked, and all that it holds."""
    name: str
    version: str


class Principal(Protocol):
    """Who calls."""

    name: str


Handler = Callable[[Request, bytes], Awaitable[Response]]


def routes(
    pupil: Callable[[str], Pupil | None], caller: Callable[[Request], str], new_id: Callable[[], str]
) -> Iterator[tuple[Endpoint, Handler]]:
    """`pupil` finds a served model by name, None if it does not learn; `caller` gives the name of a request's key."""
    work = _Routes(pupil, caller, new_id)
    yield LEARN, work.learn
    yield LEARNING, work.learning


def feedback(pupil: Callable[[str], Pupil | None], caller: Callable[[Request], str]) -> Handler:
    """What teaches a learner by outcomes of its predictions: behind a route that all models have."""
    return _Routes(pupil, caller, str).feedback


class _Routes:
    def __init__(
        self, pupil: Callable[[str], Pupil | None], caller: Callable[[Request], str], new_id: Callable[[], str]
    ) -> None:
        self._pupil = pupil
        self._caller = caller
        self._new_id = new_id

    async def learn(self, request: Request, body: bytes) -> Response:
        pupil = self._find(request)
        batch, document = pupil.decode(body)
        outcomes = _outcomes(document.get("outcomes"), batch.rows, _lesson(pupil.signature))
        key = str(document.get("id") or request.headers.get("x-request-id") or self._new_id())[:256]
        lesson = messages.Examples(self._caller(request), ids_of(key, batch.rows), columns(batch), column("", outcomes))
        return await self._taught(request, pupil, lesson, {"id": key})

    async def feedback(self, request: Request, body: bytes) -> Response:
        pupil = self._find(request)
        told = read_outcomes(body)
        outcomes = _outcomes([one.outcome for one in told], len(told), EXAMPLE)
        ids, versions = tuple(one.id for one in told), tuple(one.version for one in told)
        lesson = messages.Outcomes(self._caller(request), ids, versions, column("", outcomes))
        return await self._taught(request, pupil, lesson, {})

    async def learning(self, request: Request, body: bytes) -> Response:  # noqa: ARG002 - it has none
        pupil = self._find(request)
        report = {"model_name": pupil.name, "model_version": pupil.version}
        return Response(orjson.dumps(report | await pupil.teacher.report()), media_type="application/json")

    def _find(self, request: Request) -> Pupil:
        name = request.path_params["model"]
        pupil = self._pupil(name)
        if pupil is None:
            raise Unsupported(f"model {name!r} does not learn: serve a learner, or train it anew", model=name)
        return pupil

    async def _taught(self, request: Request, pupil: Pupil, lesson: messages.Lesson, told: dict[str, Any]) -> Response:
        wait = request.query_params.get("wait")
        if wait not in {None, APPLIED}:
            raise InvalidInput(f"'wait': expected {APPLIED!r}, or nothing, got {wait!r:.80}")
        taken = await pupil.teacher.teach(lesson)
        status = 202
        if wait == APPLIED:
            await pupil.teacher.applied(taken.offset)
            status = 200
        answer = {
            **told,
            "model_name": pupil.name,
            "model_version": pupil.version,
            "accepted": taken.taken,
            "offset": taken.offset,
        }
        if taken.unknown:
            answer["unknown"] = taken.unknown
        return Response(orjson.dumps(answer), status, media_type="application/json")


def _lesson(signature: Signature) -> dict[str, Any]:
    """A body that teaches this model one row, but for what its outcome is called."""
    batch = signature.example()
    row = {field.name: batch[field.name][0].tolist() for field in signature.inputs if field.datatype != "BYTES"}
    texts = {field.name: batch[field.name].ravel()[0] for field in signature.inputs if field.datatype == "BYTES"}
    return {"rows": [{**row, **texts}], "outcomes": ["a class" if signature.output("label") else 1.0]}


def _outcomes(told: Any, rows: int, example: dict[str, Any]) -> Array:
    """One outcome a row: all texts, or all numbers."""
    if not isinstance(told, list) or len(told) != rows:
        got = f"{len(told)} values" if isinstance(told, list) else "nothing" if told is None else f"{told!r:.80}"
        raise InvalidInput(f"'outcomes': expected a list of {rows}, one a row, got {got}", example=example)
    if all(isinstance(one, str) for one in told):
        texts = np.empty(rows, object)
        texts[:] = told
        return texts
    if not all(isinstance(one, (bool, int, float)) for one in told):
        raise InvalidInput("'outcomes': expected texts, or numbers, and no mixture", example=example)
    return np.array(told)
