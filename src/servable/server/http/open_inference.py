"""The Open Inference Protocol's ordinary routes: health, metadata, configuration, statistics.

What is told comes from `describe.py`, as it does in the gRPC door. Inference itself is `infer.py`; it is reached here
only by requests that the fast protocol leaves alone.
"""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from servable.errors import NotReady
from servable.server import describe
from servable.server.http.guard import caller_of
from servable.server.http.parts import Handlers, Parts
from servable.server.http.replies import GONE, body_of, reply, reply_answer, unless_gone


def handlers(parts: Parts) -> Handlers:
    """The handlers of the table V2."""
    v2 = _V2(parts)
    versioned: Handlers = {
        "metadata": v2.metadata,
        "model_ready": v2.model_ready,
        "config": v2.config,
        "statistics": v2.statistics,
        "infer": v2.infer,
    }
    return {
        "server_metadata": v2.server,
        "server_metadata_slash": v2.server,
        "live": v2.live,
        "ready": v2.ready,
        "all_statistics": v2.statistics,
        **versioned,
        **{f"{name}_version": handler for name, handler in versioned.items()},
    }


class _V2:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def server(self, _: Request) -> Response:
        return reply(describe.server())

    async def live(self, _: Request) -> Response:
        return reply({"live": True})

    async def ready(self, _: Request) -> Response:
        host = self._parts.host
        if host.ready:
            return reply({"ready": True})
        lacking = len(host.lacking())  # the number only: this route is open, and names are not for everybody
        why = f"{lacking} models do not answer yet" if lacking else "the server is starting, or shutting down"
        return reply({"ready": False, "error": why, "code": NotReady.code}, NotReady.status, {"retry-after": "1"})

    async def metadata(self, request: Request) -> Response:
        serving = self._parts.router.pick(*_model(request))
        versions = [s.version for s in self._parts.host.servings() if s.name == serving.name]
        return reply(describe.metadata(serving, versions))

    async def model_ready(self, request: Request) -> Response:
        serving = self._parts.router.pick(*_model(request))
        return reply({"name": serving.name, "version": serving.version, "ready": True})

    async def config(self, request: Request) -> Response:
        return reply(describe.config(self._parts.router.pick(*_model(request))))

    async def statistics(self, request: Request) -> Response:
        counted = await self._parts.repository.statistics()
        if "model" not in request.path_params:
            caller = caller_of(request)
            return reply(describe.statistics(part for part in counted if caller.sees(part["name"])))
        name, version = _model(request)
        serving = self._parts.router.pick(name, version)
        return reply(describe.statistics(counted, name, serving.version if version else ""))

    async def infer(self, request: Request) -> Response:
        body = await body_of(request, self._parts.settings, packed=True)
        name, version = _model(request)
        try:
            answer = await unless_gone(request, self._parts.inference.infer(request.headers.raw, body, name, version))
        except ClientDisconnect:
            return Response(status_code=GONE)
        return reply_answer(answer)


def _model(request: Request) -> tuple[str, str | None]:
    return request.path_params["model"], request.path_params.get("version")
