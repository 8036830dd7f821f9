"""The REST door's ordinary routes, as one ASGI application: built from the table, behind the guard, in one error shape.

The inference routes are here too, for the requests that the fast protocol (`protocol.py`) leaves to ASGI. What each
route does is in `open_inference.py`, `changes.py`, `triton.py`, `tensorflow_v1.py`, `invocations.py` and `pages.py`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, cast

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn._types import ASGIApplication

from servable.domain.endpoint import Endpoint
from servable.domain.ref import NAME
from servable.errors import NotFound, ServableError, Unauthenticated
from servable.server.access.hosts import Hosts
from servable.server.http import changes, invocations, open_inference, openai, pages, tensorflow_v1, triton
from servable.server.http.guard import guard, walk
from servable.server.http.parts import BodyHandler, Handler, Offer, Parts
from servable.server.http.replies import body_of, reply, reply_error
from servable.server.http.routes import ROUTES, by_path, near
from servable.settings import Settings
from servable.wire.openai import error_of

SAFE_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""On every answer, unless the route says otherwise: what a browser must not do with it."""

LONGEST: Final = 200
"""Characters of an unknown path that are compared with the known ones, and shown."""


class _Name(Convertor[str]):
    """A model, version or alias in a path: nothing else fits, so no handler ever sees another."""

    regex = NAME.pattern

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _Name())


class RestDoor:
    """`app` is the ASGI application, `table` what every route of it demands."""

    def __init__(
        self,
        parts: Parts,
        offers: Sequence[Offer] = (),
        routes: Iterable[BaseRoute] = (),
        endpoints: Iterable[Endpoint] = (),
    ) -> None:
        """`offers` are what shelves bring. `routes` are ready-made ones (pages, mounts, sockets), and `endpoints` their
        rows: a route without a row is refused to all.
        """
        self.endpoints = (*ROUTES, *(offer.endpoint for offer in offers), *endpoints)
        self.table = by_path(self.endpoints)
        named = (
            open_inference.handlers(parts)
            | changes.handlers(parts)
            | triton.handlers(parts)
            | tensorflow_v1.handlers(parts)
            | openai.handlers(parts)
            | invocations.handlers(parts)
            | pages.handlers(parts, self.endpoints)
        )
        own = [
            _route(path, {method: named[row.name] for method, row in rows.items()})
            for path, rows in by_path(ROUTES).items()
        ]
        self.routes: list[BaseRoute] = [*own, *_offered(offers, parts.settings), *routes]
        guard(self.routes, self.table, parts.access)
        known = sorted({path for path, _ in walk(self.routes)})
        starlette = Starlette(
            routes=self.routes,
            exception_handlers={
                ServableError: _refused,
                HTTPException: _http_refused(known),
                Exception: _failed,
            },
        )
        starlette.router.redirect_slashes = False
        # The same protocol by two names: uvicorn types its messages, Starlette does not.
        self.app = cast("ASGIApplication", _Outermost(starlette, Hosts(parts.settings)))


class _Outermost:
    """Host and Origin before all else, and safe headers on whatever is answered."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        shared = self._hosts.shares(scope["path"], origin)
        more = [*SAFE_HEADERS, *(_sharing(origin) if shared else ())]

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in more if h[0] not in present)]
            await send(message)

        try:
            self._hosts.check(
                scope.get("method", "").encode(),
                headers.get(b"host", b""),
                origin,
                headers.get(b"content-type", b""),
                scope["path"],
            )
        except ServableError as error:
            await reply_error(error)(scope, receive, send_safely)
        else:
            asking = shared and scope.get("method") == "OPTIONS" and b"access-control-request-method" in headers
            await (Response(status_code=204) if asking else self._app)(scope, receive, send_safely)


def _sharing(origin: bytes) -> list[tuple[bytes, bytes]]:
    """What tells a browser that a page of another origin may post here and read the answer; never with cookies."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", b"authorization, content-type, x-api-key"),
        (b"access-control-max-age", b"600"),
        (b"vary", b"origin"),
    ]


def _route(path: str, methods: Mapping[str, Handler]) -> Route:
    """A Starlette route for all methods of a path. Names in it match names only."""

    async def handle(request: Request) -> Response:
        return await methods["GET" if request.method == "HEAD" else request.method](request)

    template = path.replace("{model}", "{model:name}").replace("{version}", "{version:name}")
    route = Route(template, handle, methods=list(methods))
    # To the very end: a `$` lets a newline follow.
    route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
    return route


def _offered(offers: Iterable[Offer], settings: Settings) -> Iterator[Route]:
    methods: dict[str, dict[str, Handler]] = {}
    for offer in offers:
        methods.setdefault(offer.endpoint.path, {})[offer.endpoint.method] = _with_body(offer.handler, settings)
    return (_route(path, handlers) for path, handlers in methods.items())


def _with_body(handler: BodyHandler, settings: Settings) -> Handler:
    async def handle(request: Request) -> Response:
        return await handler(request, await body_of(request, settings))

    return handle


async def _refused(request: Request, error: Exception) -> Response:
    """A ServableError, with what the platform's own clients look for beside it."""
    if not isinstance(error, ServableError):
        raise error
    if isinstance(error, Unauthenticated) and "text/html" in request.headers.get("accept", ""):
        return pages.page(error.status)
    if request.url.path == invocations.PATH:
        return reply_error(error, error_code=error.code.upper(), message=error.message)
    if request.url.path in openai.PATHS:
        return reply_error(error, **error_of(error))
    return reply_error(error)


async def _failed(_: Request, __: Exception) -> Response:
    """The wall: whatever else was raised. The server logs it; the caller learns that it is not their fault."""
    return reply({"error": "the server failed to answer: its log says why", "code": ServableError.code}, 500)


def _http_refused(known: Sequence[str]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        path = request.url.path[:LONGEST]
        if error.status_code == NotFound.status:
            meant = near(path, known)
            hint = f"did you mean {' or '.join(meant)}?" if meant else "/docs and /openapi.json tell which there are"
            return reply_error(NotFound(f"no route {path!r}: {hint}", near=meant or None))
        allow = (error.headers or {}).get("Allow", "")
        told = f"{request.method[:20]} is not a method of {path!r}: use {allow}" if allow else error.detail
        return reply({"error": told, "code": "method_not_allowed"}, error.status_code, error.headers)

    return handle
