"""Triton's repository routes: what there is, load, unload.

Each change is written down in the audit log, whatever comes of it. What a change does is `repository.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from servable.engine.plan import State
from servable.errors import InvalidInput, ServableError, Unsupported
from servable.server import describe
from servable.server.http.guard import caller_of
from servable.server.http.parts import Handlers, Parts
from servable.server.http.replies import body_of, document_of, reply


def handlers(parts: Parts) -> Handlers:
    """The handlers of the table REPOSITORY."""
    repository = _Repository(parts)
    return {
        "index": repository.index,
        "load": repository.load,
        "unload": repository.unload,
        "no_repository": _named_repository,
        "no_repository_act": _named_repository,
    }


class _Repository:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def load(self, request: Request) -> Response:
        name = request.path_params["model"]
        example: dict[str, Any] = {"parameters": {}}
        document = document_of(await body_of(request, self._parts.settings), example)
        parameters = document.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise InvalidInput(f"'parameters': expected an object, got {parameters!r:.80}", example=example)
        return await self._recorded(request, f"load {name}", self._parts.repository.load(name, parameters))

    async def unload(self, request: Request) -> Response:
        name = request.path_params["model"]
        document_of(await body_of(request, self._parts.settings), {"parameters": {"unload_dependents": False}})
        return await self._recorded(request, f"unload {name}", self._parts.repository.unload(name))

    async def _recorded(self, request: Request, act: str, change: Awaitable[list[State]]) -> Response:
        result = "failed"
        try:
            states = await change
            result = "done"
        except ServableError as error:
            result = error.code
            raise
        finally:
            audit = self._parts.access.audit
            if audit is not None:
                peer = request.client.host if request.client else ""
                await asyncio.to_thread(audit.act, caller_of(request).name, act, peer, result)
        return reply(describe.index(states))

    async def index(self, request: Request) -> Response:
        document = document_of(await body_of(request, self._parts.settings), {"ready": True})
        ready = document.get("ready", False)
        if not isinstance(ready, bool):
            raise InvalidInput(f"'ready': expected true or false, got {ready!r:.80}", example={"ready": True})
        caller = caller_of(request)
        states = (state for state in self._parts.host.states() if caller.sees(state.name))
        return reply(describe.index(states, ready=ready))


async def _named_repository(request: Request) -> Response:
    raise Unsupported(
        f"there is one repository here, without a name: use /v2/repository/index, not {request.url.path[:200]!r}"
    )
