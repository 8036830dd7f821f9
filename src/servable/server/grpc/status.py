"""Errors of the house as gRPC has them: a status, a sentence that says it all, and a word on when to come back."""

from __future__ import annotations

import logging
import math
from typing import Final, NamedTuple

import orjson

from servable.errors import ServableError, Unavailable
from servable.server.http2.frames import header_block

INTERNAL: Final = 13
INTERNAL_STATUS: Final = 500
CODES: Final = {
    400: 3,  # INVALID_ARGUMENT
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 5,  # NOT_FOUND
    409: 6,  # ALREADY_EXISTS
    413: 8,  # RESOURCE_EXHAUSTED
    415: 12,  # UNIMPLEMENTED
    422: 9,  # FAILED_PRECONDITION
    429: 8,  # RESOURCE_EXHAUSTED
    500: INTERNAL,
    501: 12,  # UNIMPLEMENTED
    503: 14,  # UNAVAILABLE
    504: 4,  # DEADLINE_EXCEEDED
}
"""HTTP status of an error to gRPC's code. Source: grpc/grpc, doc/statuscodes.md, and what Triton answers."""

MAX_TEXT_BYTES: Final = 4096
"""The sentence travels in a trailer, where clients take 8 KiB in all and fail without a word beyond it."""

CUT: Final = " …"
LONGEST_ID: Final = 256

logger = logging.getLogger("servable.server")


class Status(NamedTuple):
    """What ends a call that went wrong: gRPC's code, the sentence, and both as a header block."""

    code: int
    text: str
    trailers: bytes


def status_of(error: ServableError, request_id: str = "") -> Status:
    """The gRPC status of an error. Beside it: `servable-code`, the machine-readable name; `retry-after`, in seconds;
    `x-request-id`, unless the caller made up one that no trailer can carry.
    """
    code = CODES.get(error.status, INTERNAL)
    text = text_of(error)
    trailers = [
        (b"grpc-status", str(code).encode()),
        (b"grpc-message", percent_encoded(text)),
        (b"servable-code", error.code.encode()),
    ]
    if request_id and len(request_id) <= LONGEST_ID and request_id.isascii() and request_id.isprintable():
        trailers.append((b"x-request-id", request_id.encode()))
    if isinstance(error, Unavailable):
        trailers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    elif error.status == INTERNAL_STATUS:
        logger.warning("%s: %s", error.code, error.message, extra={"request_id": request_id})
    return Status(code, text, header_block(trailers))


def text_of(error: ServableError) -> str:
    """The error's sentence, and a request that would work if there is one and it fits.

    >>> from servable.errors import InvalidInput
    >>> text_of(InvalidInput("input x: expected FP32, got INT64", example={"inputs": []}))
    'input x: expected FP32, got INT64. A request that would work, as JSON: {"inputs":[]}'
    """
    text = error.message
    example = error.detail.get("example")
    if example is not None:
        longer = f"{text}. A request that would work, as JSON: {orjson.dumps(example, default=str).decode()}"
        if len(percent_encoded(longer)) <= MAX_TEXT_BYTES:
            return longer
    if len(percent_encoded(text)) <= MAX_TEXT_BYTES:
        return text
    room = MAX_TEXT_BYTES - len(percent_encoded(CUT))
    return text[: room // (3 if text.isascii() else 12)] + CUT  # at most twelve bytes a character: four, as %XX


def percent_encoded(text: str) -> bytes:
    """Text as a status message: what is not printable ASCII, and `%`, byte by byte as `%XX`.

    >>> percent_encoded("50 % of ü")
    b'50 %25 of %C3%BC'
    """
    return b"".join(_ENCODED[byte] for byte in text.encode("utf-8", "replace"))


_ENCODED: Final = tuple(bytes([byte]) if 32 <= byte < 127 and byte != 37 else b"%%%02X" % byte for byte in range(256))


def unexpected(error: Exception) -> ServableError:
    """What a caller may know of an error that nobody foresaw. The traceback goes to the log, never over the wire."""
    logger.error("a call failed with %s", type(error).__name__, exc_info=error)
    return ServableError("the server failed to answer this; its log has the details")
