"""What monitoring answers over HTTP: outcomes of predictions are taken, for every model, and records of devices.

An answer of 202 says that they are on the disk. Of a model that learns, it learns from them as well, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from servable.domain.endpoint import ANY, Endpoint
from servable.errors import EnvironmentFault, Unavailable
from servable.monitoring.device_lines import line
from servable.monitoring.intake import Intake
from servable.wire.device_records import read_device_records
from servable.wire.outcomes import read_outcomes

if TYPE_CHECKING:
    from servable.domain.signature import Signature
    from servable.monitoring.device_records import DeviceRecords
    from servable.monitoring.json_lines import JsonLines

FEEDBACK: Final = Endpoint(
    "POST", "/v2/models/{model}/feedback", "feedback", "feedback", "Outcomes of predictions, by their ids", ANY
)

RECORDS: Final = Endpoint(
    "POST", "/v2/models/{model}/records", "feedback", "records", "What a model answered on a device, each id once", ANY
)

Handler = Callable[[Request, bytes], Awaitable[Response]]


class Asked(NamedTuple):
    """A served model, as its outcomes concern it: the version that is live and its contract, whether answers are kept
    for them, and who teaches it, if it learns.
    """

    version: str
    signature: Signature
    kept: bool
    teach: Handler | None


def routes(
    intake: Intake,
    find: Callable[[str], Asked],
    caller: Callable[[Request], str],
    devices: Callable[[], DeviceRecords],
    lines: Callable[[], JsonLines | None],
) -> Iterator[tuple[Endpoint, Handler]]:
    """`find` gives a served model by name, or raises what keeps it from that; `caller` the name of a request's key. The
    store of `devices`, and the file of `lines` beside it (if there is one), are opened when there is something to
    write.
    """

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

    async def records(request: Request, body: bytes) -> Response:
        name = request.path_params["model"]
        signature = find(name).signature
        told = read_device_records(body)

        def take() -> int:
            new = devices().take(name, caller(request), told)
            if new and (file := lines()) is not None:
                file.append([line(name, record, signature) for record in new])
            return len(new)

        try:
            new = await asyncio.to_thread(take)
        except (EnvironmentFault, OSError) as error:
            raise Unavailable(f"{error}: send the records again", retry_after_s=5.0) from error
        answer = {"model_name": name, "accepted": len(told), "new": new}
        return Response(orjson.dumps(answer), 202, media_type="application/json")

    yield FEEDBACK, feedback
    yield RECORDS, records
