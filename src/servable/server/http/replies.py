"""Replies: what ordinary routes read of a request and answer with. Bodies are bounded; every error has the one shape.

The fast protocol has its own reading and writing (`protocol.py`); what both send is made in `infer.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from servable.errors import InvalidInput, ServableError, TooLarge
from servable.server.http.infer import Answer, failure
from servable.settings import Settings
from servable.wire.compression import decompress
from servable.wire.json_object import json_object

JSON: Final = "application/json"
GONE: Final = 499
"""What nobody reads: the client hung up."""

T = TypeVar("T")


def reply(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(document), status, headers, JSON)


def reply_answer(answer: Answer) -> Response:
    """An answer made elsewhere, as Starlette sends it."""
    response = Response(answer.body, answer.status)
    response.raw_headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    return response


def reply_error(error: ServableError, /, request_id: str = "", **more: Any) -> Response:
    """An error answer. `more` is what a protocol has beside `error` and `code`."""
    response = reply_answer(failure(error, request_id))
    if more:
        response.body = orjson.dumps(orjson.loads(response.body) | more)
        response.headers["content-length"] = str(len(response.body))
    return response


async def body_of(request: Request, settings: Settings, *, packed: bool = False) -> bytes:
    """The body, unpacked unless `packed`, within the limits. Raises TooLarge, InvalidInput, Unsupported."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > settings.max_body_bytes:
                raise TooLarge(
                    f"the body is longer than {settings.max_body_bytes} bytes", limit_bytes=settings.max_body_bytes
                )
    except ClientDisconnect as error:
        raise InvalidInput("the connection closed before the whole body had come") from error
    encoding = "" if packed else request.headers.get("content-encoding", "")
    return decompress(bytes(body), encoding, settings.max_decompressed_bytes)


def document_of(body: bytes, example: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object; a body that is empty, as clients of Triton send, is an empty one."""
    return json_object(body, example) if body.strip() else {}


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, and cancel it if the client hangs up before. The body must have been read."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return await task
    finally:
        for future in (task, gone):
            future.cancel()
            with contextlib.suppress(asyncio.CancelledError, ServableError):
                await future


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
