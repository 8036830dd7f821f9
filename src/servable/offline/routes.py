"""What tables answer over HTTP: one row by its key, many at once, and which tables there are.

A table is its model's: whoever may not ask the model may not ask the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from servable.domain.endpoint import ANY, Endpoint
from servable.errors import Forbidden
from servable.offline.lookup import Asked, Lookup

ROW: Final = Endpoint("GET", "/v2/tables/{table}/rows/{key}", "invoker", "table_row", "The answer to a key")
LOOKUP: Final = Endpoint(
    "POST", "/v2/tables/{table}/lookup", "invoker", "table_lookup", "The answers to many keys", ANY
)
TABLE: Final = Endpoint("GET", "/v2/tables/{table}", "viewer", "table", "What a table holds, of which model, how old")
TABLES: Final = Endpoint("GET", "/v2/tables", "viewer", "tables", "All tables")

Permit = Callable[[Request, str], None]
"""Raises Forbidden unless whoever sent the request may ask this model."""
Handler = Callable[[Request, bytes], Awaitable[Response]]


def routes(lookup: Lookup, permit: Permit) -> Iterator[tuple[Endpoint, Handler]]:
    """The rows of the table of routes, and their handlers."""

    async def row(request: Request, body: bytes) -> Response:  # noqa: ARG001 - handlers are given one
        table, key = request.path_params["table"], request.path_params["key"]
        return _json(await lookup.one(table, key, lambda model: permit(request, model)))

    async def many(request: Request, body: bytes) -> Response:
        asked = Asked.read(body)
        return _json(await lookup.many(request.path_params["table"], asked, lambda model: permit(request, model)))

    async def table(request: Request, body: bytes) -> Response:  # noqa: ARG001 - as above
        generation = await asyncio.to_thread(lookup.tables.live, request.path_params["table"])
        permit(request, generation.model)
        return _json(orjson.dumps(lookup.tell(generation)))

    async def tables(request: Request, body: bytes) -> Response:  # noqa: ARG001 - as above
        names = await asyncio.to_thread(lookup.tables.names)
        told = []
        for name in names:
            generation = await asyncio.to_thread(lookup.tables.live, name)
            try:
                permit(request, generation.model)
            except Forbidden:
                continue
            told.append(lookup.tell(generation))
        return _json(orjson.dumps({"tables": told}))

    yield from ((ROW, row), (LOOKUP, many), (TABLE, table), (TABLES, tables))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
