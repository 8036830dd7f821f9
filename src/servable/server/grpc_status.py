"""Errors of the house as gRPC has them: a status, a sentence that says it all, and a word on when to come back."""

from __future__ import annotations

import logging
import math
from typing import Any, Final, NamedTuple

import grpc
import grpc.aio
import orjson

from servable.errors import ServableError, Unavailable

CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.UNIMPLEMENTED,
    422: grpc.StatusCode.FAILED_PRECONDITION,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""HTTP status of an error to gRPC's code. Source: grpc/grpc, doc/statuscodes.md, and what Triton answers."""

MAX_TEXT_BYTES: Final = 4096
"""The sentence travels in a trailer, where clients take 8 KiB in all and fail without a word beyond it."""

LONGEST_ID: Final = 256

Context = grpc.aio.ServicerContext[Any, Any]

logger = logging.getLogger("servable.server")


class Status(NamedTuple):
    """What ends a call that went wrong."""

    code: grpc.StatusCode
    text: str
    trailers: tuple[tuple[str, str], ...]


def status_of(error: ServableError, request_id: str = "") -> Status:
    """The gRPC status of an error. Trailers: `servable-code`, the machine-readable name; `retry-after`, in seconds; and
    `x-request-id`, unless the caller made up one that no trailer can carry."""
    trailers: tuple[tuple[str, str], ...] = (("servable-code", error.code),)
    if request_id and len(request_id) <= LONGEST_ID and request_id.isascii() and request_id.isprintable():
        trailers += (("x-request-id", request_id),)
    if isinstance(error, Unavailable):
        trailers += (("retry-after", str(max(1, math.ceil(error.retry_after_s)))),)
    elif error.status >= 500:  # noqa: PLR2004 - our fault
        logger.warning("%s: %s", error.code, error.message, extra={"request_id": request_id})
    return Status(CODES.get(error.status, grpc.StatusCode.INTERNAL), text_of(error), trailers)


async def refuse(context: Context, error: ServableError, request_id: str = "") -> bytes:
    """End the call with the error's status. Never returns: gRPC raises an error of its own, to be let through."""
    status = status_of(error, request_id)
    await context.abort(status.code, status.text, status.trailers)
    return b""


def text_of(error: ServableError) -> str:
    """The error's sentence, and a request that would work if there is one and it fits.

    >>> from servable.errors import InvalidInput
    >>> text_of(InvalidInput("'x': expected FP32, got INT64", example={"inputs": []}))
    '\\'x\\': expected FP32, got INT64. A request that would work, as JSON: {"inputs":[]}'
    """
    text = error.message
    example = error.detail.get("example")
    if example is not None:
        shown = orjson.dumps(example, default=str).decode()
        longer = f"{text}. A request that would work, as JSON: {shown}"
        if _encoded_bytes(longer) <= MAX_TEXT_BYTES:
            return longer
    if _encoded_bytes(text) <= MAX_TEXT_BYTES:
        return text
    return text[: MAX_TEXT_BYTES // 12] + " …" if not text.isascii() else text[: MAX_TEXT_BYTES // 3] + " …"


def unexpected(error: Exception) -> ServableError:
    """What a caller may know of an error that nobody foresaw. The traceback goes to the log, never over the wire."""
    logger.error("a call failed with %s", type(error).__name__, exc_info=error)
    return ServableError("the server failed to answer this; its log has the details")


def _encoded_bytes(text: str) -> int:
    """Bytes of the text in a trailer: gRPC writes what is not printable ASCII, and `%`, as `%XX`, byte by byte."""
    return sum(1 if 32 <= byte < 127 and byte != 37 else 3 for byte in text.encode())  # noqa: PLR2004 - ASCII
