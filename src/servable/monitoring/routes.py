"""What monitoring answers over HTTP: outcomes of predictions are taken, for every model.

An answer of 202 says that they are on the disk. Of a model that learns, it learns from them as well, and says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from servable.domain.endpoint import ANY, Endpoint
from servable.monitoring.intake import Intake
from servable.wire.outcomes import read_outcomes

FEEDBACK: Final = Endpoint(
    "POST", "/v2/models/{model}/feedback", "feedback", "feedback", "Outcomes of predictions, by their ids", ANY
)

Handler = Callable[[Request, bytes], Awaitable[Response]]


class Asked(NamedTuple):
    """A served model, as its outcomes concern it: the version that is live, whether answers are kept for them, and who
    teaches it, if it learns.
    """

    version: str
    kept: bool
    teach: Handler | None


def routes(
    intake: Intake, find: Callable[[str], Asked], caller: Callable[[Request], str]
) -> Iterator[tuple[Endpoint, Handler]]:
    """`find` gives a served model by name, or raises what keeps it from that; `caller` the name of a request's key."""

    async def feedback(request: Request, body: bytes) -> Response:
        name = request.path_params["model"]
        asked = find(name)
        taught = None if asked.teach is None else await asked.teach(request, body)
        if taught is not None and not asked.kept:
            return taught  # they are in its journal
        outcomes = read_outcomes(body)
        await intake.take(name, caller(request), outcomes)
        if taught is not None:
            return taught
        told = {"model_name": name, "model_version": asked.version, "accepted": len(outcomes)}
        return Response(orjson.dumps(told), 202, media_type="application/json")

    yield FEEDBACK, feedback
