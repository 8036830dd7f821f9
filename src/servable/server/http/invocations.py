"""SageMaker's and MLflow's routes: `/ping` and `/invocations`, for a server of one model or with its name in a header.

JSON holds one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`; CSV is rows. Bodies are read by
`wire/dataframes.py` and `wire/tensorflow_v1.py`. SageMaker's multi-model routes are not offered.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from servable.domain.batch import Batch
from servable.domain.field import Fault
from servable.domain.ref import Ref
from servable.engine.routing.spares import answerer
from servable.engine.serving import Serving
from servable.errors import InvalidInput, NotReady, ServableError, UnsupportedMedia, UsageError
from servable.server.http.guard import caller_of
from servable.server.http.infer import asked
from servable.server.http.parts import Handlers, Parts
from servable.server.http.replies import GONE, body_of, document_of, reply, unless_gone
from servable.wire import dataframes, tensorflow_v1
from servable.wire.options import Options, read_options

PATH: Final = "/invocations"
TARGET: Final = "x-amzn-sagemaker-target-model"
PARAMETERS: Final = "servable-parameters"
"""Beside an answer in CSV: what others carry in `parameters`."""
WAYS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")


def handlers(parts: Parts) -> Handlers:
    """The handlers of the table PLATFORMS."""
    platforms = _Platforms(parts)
    return {"ping": platforms.ping, "invocations": platforms.invocations}


class _Platforms:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def ping(self, _: Request) -> Response:
        ready = self._parts.host.ready
        return Response("\n" if ready else "not ready\n", 200 if ready else NotReady.status, media_type="text/plain")

    async def invocations(self, request: Request) -> Response:
        parts = self._parts
        body = await body_of(request, parts.settings)
        headers = asked(request.headers.raw)
        request_id = headers.request_id.decode("latin-1")[:256] or parts.inference.new_id()
        serving = self._serving(request, request_id, headers.unit.decode("latin-1")[:256])
        try:
            batch, options = self._decode(request, body, serving)
        except ServableError as error:
            serving.stats.failed(error.code)
            raise
        options = options._replace(id=options.id or request_id)
        within_s = parts.inference.deadline(options, headers.deadline)
        try:
            answer = await unless_gone(request, parts.inference.ask(serving, batch, options, within_s))
        except ClientDisconnect:
            return Response(status_code=GONE)
        if "text/csv" in request.headers.get("accept", ""):
            beside = {PARAMETERS: orjson.dumps(answer.parameters).decode()} if answer.parameters else None
            return Response(dataframes.to_csv(answer, serving.signature), headers=beside, media_type="text/csv")
        told: dict[str, Any] = tensorflow_v1.encode(answer, serving.signature, by_rows=serving.signature.batched)
        told["predictions"] = told.pop("outputs", None) or told["predictions"]
        return reply({**told, "id": options.id, **answerer(serving, answer)})

    def _serving(self, request: Request, request_id: str, unit: str) -> Serving:
        """The model of the header, else the only one. Its name is in no path, so the key is asked about it here."""
        names = [name for name in sorted(self._parts.host.table) if caller_of(request).sees(name)]
        wanted = request.headers.get(TARGET, "")
        if not wanted and len(names) != 1 and self._parts.host.table:
            raise InvalidInput(
                f"which model? {len(names)} are served ({', '.join(names[:20])}): name one in the header {TARGET}, "
                "or call /v2/models/NAME/infer"
            )
        if not wanted and not names:
            raise NotReady("no model answers yet")
        try:
            ref = Ref.parse(wanted) if wanted else Ref(names[0])
        except UsageError as error:
            raise InvalidInput(f"header {TARGET}: {error.message}") from error
        peer = request.client.host if request.client else ""
        self._parts.access.permit(caller_of(request), ref.name, f"POST {PATH}", peer)
        return self._parts.router.pick(ref.name, ref.version or ref.alias, request_id, unit)

    def _decode(self, request: Request, body: bytes, serving: Serving) -> tuple[Batch, Options]:
        signature, most = serving.signature, self._parts.settings.max_elements
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind == "text/csv":
            return dataframes.from_csv(body, signature, most), Options()
        if kind != "application/json":
            raise UnsupportedMedia(f"Content-Type {kind[:80]!r} is not spoken here: send application/json or text/csv")
        document = document_of(body, tensorflow_v1.example(signature))
        given = [way for way in WAYS if way in document]
        if len(given) != 1:
            ways = ", ".join(f"'{way}'" for way in WAYS)
            raise tensorflow_v1.refusal(
                signature, [Fault("body", f"one of {ways}", ", ".join(given) or "none of them")]
            )
        params = document.get("params")
        options = read_options(document.get("id"), params if isinstance(params, dict) else None)
        if given[0] == "dataframe_split":
            batch = dataframes.from_split(document["dataframe_split"], signature, most)
        elif given[0] == "dataframe_records":
            batch = dataframes.from_records(document["dataframe_records"], signature, most)
        else:
            return tensorflow_v1.decode_document(document, signature, most)[:2]
        batch.parameters = options.parameters
        return batch, options
