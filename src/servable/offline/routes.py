"""What tables answer over HTTP: one row by its key, many at once, and which tables there are.

A table is its model's: whoever may not ask the model may not ask the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from servable.domain.endpoint import ANY, Endpoint
from servable.errors import Forbidden, InvalidInput, ServableError
from servable.offline.asked import Asked
from servable.offline.lookup import Lookup
from servable.offline.push.subscribe import events

ROW: Final = Endpoint("GET", "/v2/tables/{table}/rows/{key}", "invoker", "table_row", "The answer to a key")
LOOKUP: Final = Endpoint(
    "POST", "/v2/tables/{table}/lookup", "invoker", "table_lookup", "The answers to many keys", ANY
)
CHANGES: Final = Endpoint(
    "GET",
    "/v2/tables/{table}/changes",
    "invoker",
    "table_changes",
    "Rows as they change, as server-sent events",
    "",
    "Text",
)
TABLE: Final = Endpoint("GET", "/v2/tables/{table}", "viewer", "table", "What a table holds, of which model, how old")
TABLES: Final = Endpoint("GET", "/v2/tables", "viewer", "tables", "All tables")

Permit = Callable[[Request, str], None]
"""Raises Forbidden unless whoever sent the request may ask this model."""
Handler = Callable[[Request, bytes], Awaitable[Response]]
Quick = Callable[[Sequence[str]], bool]
"""Takes the values in the path."""
Ask = tuple[Sequence[str], bytes, Callable[[str], None]]
"""These, the body, and what raises unless the caller may ask the model of that name."""
Now = Callable[[Sequence[Ask]], Iterable[bytes | ServableError]]
"""Answers what was asked at the same time, each with its body or its error, in that order."""


def routes(lookup: Lookup, permit: Permit) -> Iterator[tuple[Endpoint, Handler]]:
    """The rows of the table of routes, and their handlers."""

    async def row(request: Request, body: bytes) -> Response:  # noqa: ARG001 - handlers are given one
        table, key = request.path_params["table"], request.path_params["key"]
        return _json(await lookup.one(table, key, lambda model: permit(request, model)))

    async def many(request: Request, body: bytes) -> Response:
        asked = Asked.read(body)
        answers = await lookup.many(request.path_params["table"], asked, lambda model: permit(request, model))
        return _json(answers.json())

    async def changes(request: Request, body: bytes) -> Response:  # noqa: ARG001 - as above
        name, seen = request.path_params["table"], request.headers.get("last-event-id", "")
        generation = await asyncio.to_thread(lookup.tables.live, name)
        permit(request, generation.model)
        if seen and not seen.isdecimal():
            raise InvalidInput(f"header Last-Event-ID: expected the number of a generation, got {seen:.40}")
        return StreamingResponse(
            events(lookup.tables, name, int(seen) if seen else None), media_type="text/event-stream"
        )

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

    yield from ((ROW, row), (LOOKUP, many), (CHANGES, changes), (TABLE, table), (TABLES, tables))


def shortcuts(lookup: Lookup) -> Iterator[tuple[Endpoint, Quick, Now]]:
    """The look-ups that wait for nobody: when they do not, and what answers them."""

    def rows(asks: Sequence[Ask]) -> Iterable[bytes | ServableError]:
        """Those of one table are read together."""
        of_table: dict[str, list[tuple[str, Callable[[str], None]]]] = {}
        for (table, key), _, permit in asks:
            of_table.setdefault(table, []).append((key, permit))
        answers = {table: iter(lookup.together(table, asked)) for table, asked in of_table.items()}
        return (next(answers[path[0]]) for path, _, _ in asks)

    def many(asks: Sequence[Ask]) -> Iterable[bytes | ServableError]:
        for path, body, permit in asks:
            try:
                yield lookup.many_now(path[0], Asked.read(body), permit).json()
            except ServableError as error:
                yield error

    def quick(path: Sequence[str]) -> bool:
        return lookup.quick(path[0])

    def never_waits(path: Sequence[str]) -> bool:  # noqa: ARG001 - it is the same for all
        return not lookup.tables.blocking

    yield from ((ROW, never_waits, rows), (LOOKUP, quick, many))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
