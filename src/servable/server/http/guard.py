"""Guard: puts every route behind its role. Deny by default: a route, or a method, in no table is refused to all.

It wraps routes when the door is built, wherever they come from, so that no handler can forget to ask. What the role
means is `access.py`'s; which route demands which, `routes.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from servable.domain.endpoint import OPEN, Endpoint
from servable.server.access.access import ANONYMOUS, UNCLASSIFIED, Access, Principal, bearer

PRINCIPAL: Final = "servable.principal"
"""Where a handler finds who calls, in the ASGI scope."""

Table = Mapping[str, Mapping[str, Endpoint]]


def caller_of(request: Request) -> Principal:
    """Who calls, as the guard found."""
    principal: Principal = request.scope[PRINCIPAL]
    return principal


class Guarded:
    """An ASGI application behind the roles of its path: method to Endpoint."""

    def __init__(self, app: ASGIApp, methods: Mapping[str, Endpoint], access: Access) -> None:
        self.app = app
        self.methods = methods
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on. Raises Unauthenticated and Forbidden."""
        method = scope.get("method", "GET")
        endpoint = self.methods.get("GET" if method == "HEAD" else method)
        scope[PRINCIPAL] = ANONYMOUS if endpoint is not None and endpoint.role == OPEN else self._check(scope, endpoint)
        await self.app(scope, receive, send)

    def _check(self, scope: Scope, endpoint: Endpoint | None) -> Principal:
        headers = dict(scope["headers"])
        token = bearer(
            headers.get(b"authorization", b"").decode("latin-1"), headers.get(b"x-api-key", b"").decode("latin-1")
        )
        role = UNCLASSIFIED if endpoint is None or endpoint.role == OPEN else endpoint.role
        act = f"{scope.get('method', 'WEBSOCKET')} {scope['path']}"
        peer = str((scope.get("client") or ("",))[0])
        return self._access.check(token, role, scope.get("path_params", {}).get("model"), act, peer)


def guard(routes: Iterable[BaseRoute], table: Table, access: Access) -> None:
    """Wrap every route in place. Calling it again adds nothing to those that are wrapped."""
    for path, route in walk(routes):
        if not isinstance(route.app, Guarded):
            route.app = Guarded(route.app, table.get(path, {}), access)


def walk(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, Route | WebSocketRoute | Mount]]:
    """Every route with its whole template, those in mounts too. A mount without routes of its own is one route.

    Raises TypeError for a kind of route that is not known here, and so could not be guarded.
    """
    for route in routes:
        if isinstance(route, Mount) and route.routes:
            yield from walk(route.routes, prefix + route.path)
        elif isinstance(route, Mount):
            yield f"{prefix}{route.path}/{{path}}", route
        elif isinstance(route, (Route, WebSocketRoute)):
            yield prefix + route.path_format, route
        else:
            raise TypeError(f"a route of the kind {type(route).__name__} cannot be guarded")
