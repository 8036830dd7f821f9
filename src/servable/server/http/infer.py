"""Inference over HTTP: from the headers and body of a request to the bytes of its answer. No sockets, no parser.

The fast protocol (`protocol.py`) and the ordinary routes (`rest.py`) both come here, so there is one behaviour.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import count
from time import monotonic
from typing import Final, NamedTuple, TypeVar, cast

import orjson

from servable.domain.batch import Batch
from servable.engine.request import Request
from servable.engine.router import Router
from servable.engine.serving import Serving
from servable.engine.stats import NS
from servable.errors import InvalidInput, NotReady, ServableError, Unavailable, Unsupported
from servable.server.access.access import Access, bearer
from servable.settings import Settings
from servable.wire.compression import ACCEPTED, WORTH_BYTES, choose, compress, decompress
from servable.wire.inquiry import Inquiry
from servable.wire.options import Options

T = TypeVar("T")

logger = logging.getLogger("servable.server")

JSON: Final = b"application/json"
BINARY: Final = b"application/octet-stream"
TOKENS: Final = 1024
"""Headers with keys whose key is remembered: a client repeats its own."""


class Answer(NamedTuple):
    """Status, body, content type, and further headers."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Asked(NamedTuple):
    """What an inference request's headers say. All as they came, empty where absent."""

    authorization: bytes = b""
    api_key: bytes = b""
    request_id: bytes = b""
    deadline: bytes = b""
    json_length: bytes = b""
    content_encoding: bytes = b""
    accept_encoding: bytes = b""
    unit: bytes = b""


HEADERS: Final = {
    b"authorization": 0,
    b"x-api-key": 1,
    b"x-request-id": 2,
    b"x-request-timeout-ms": 3,
    b"inference-header-content-length": 4,
    b"content-encoding": 5,
    b"accept-encoding": 6,
    b"x-servable-unit": 7,
}
"""Header name, in lower case, to its place in Asked."""

NOTHING: Final = Asked()


def asked(headers: Iterable[tuple[bytes, bytes]]) -> Asked:
    """The headers that matter to an inference, from all of a request's."""
    found: list[bytes] | None = None
    for name, value in headers:
        place = HEADERS.get(name)
        if place is not None:
            if found is None:
                found = [b""] * len(HEADERS)
            found[place] = value
    return NOTHING if found is None else Asked(*found)


class HttpRequest(Request):
    """A request over HTTP, which encodes its own answer."""

    __slots__ = ("_accept_encoding", "_inquiry", "_respond", "_serving")

    def __init__(
        self,
        request_id: str,
        serving: Serving,
        inquiry: Inquiry,
        within_s: float,
        accept_encoding: bytes,
        respond: Callable[[Answer], None],
    ) -> None:
        now = monotonic()
        super().__init__(request_id, inquiry.batch, _DONE, now + within_s, inquiry.options.priority, now)
        self._serving = serving
        self._inquiry = inquiry
        self._accept_encoding = accept_encoding
        self._respond = respond

    def _done(self) -> None:
        answer = self.answer
        try:
            if answer is None:
                raise self.error or NotReady("the request ended without an answer: ask again")
            codec = self._serving.codec if self.by is None else self.by.codec
            body, json_length = codec.encode(self.id, answer, self._inquiry, self.start, self.rows)
        except ServableError as error:
            self._respond(failure(error, self.id))
            return
        self._respond(_answer(body, json_length, self._accept_encoding))


_DONE: Final = cast("Callable[[Request], None]", HttpRequest._done)


class Inference:
    """Answers `POST /v2/models/{name}[/versions/{version}]/infer`."""

    def __init__(self, router: Router, access: Access, settings: Settings) -> None:
        self.router = router
        self.access = access
        self._deadline_s = settings.deadline_s
        self._max_bytes = settings.max_decompressed_bytes
        self._prefix = secrets.token_hex(6)
        self._count = count(1)

    def start(
        self, name: str, version: str | None, headers: Asked, body: bytes, respond: Callable[[Answer], None]
    ) -> Request | None:
        """Begin to answer; `respond` is called once, now or later. Returns what to cancel if the caller goes away."""
        began = monotonic()
        try:
            if self.access.required:
                token = _token(headers.authorization, headers.api_key)
                self.access.check(token, "invoker", name, "infer")
            serving, inquiry, request_id = self._decode(name, version, headers, body)
            deadline = self.deadline(inquiry.options, headers.deadline)
        except ServableError as error:
            respond(failure(error))
            return None
        request = HttpRequest(request_id, serving, inquiry, deadline, headers.accept_encoding, respond)
        serving.stats.input_ns += int((request.arrived - began) * NS)
        serving.submit(request)
        return request

    async def infer(
        self, headers: Iterable[tuple[bytes, bytes]], body: bytes, name: str, version: str | None = None
    ) -> Answer:
        """The same for an ordinary route, which waits. Cancelling it cancels the request."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        request = self.start(name, version, asked(headers), body, future.set_result)
        return await _unless_cancelled(future, request)

    async def ask(self, serving: Serving, batch: Batch, options: Options, deadline_s: float | None = None) -> Batch:
        """A batch that some other protocol has decoded: its answer, or the error."""
        future: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()

        def done(request: Request) -> None:
            try:
                future.set_result(request.result())
            except ServableError as error:
                future.set_exception(error)

        now = monotonic()
        within_s = self.deadline(options) if deadline_s is None else deadline_s
        request = Request(options.id or self.new_id(), batch, done, now + within_s, options.priority, now)
        serving.submit(request)
        return await _unless_cancelled(future, request)

    def new_id(self) -> str:
        """A prediction's id, for a request that brought none. Unique over processes and restarts."""
        return f"{self._prefix}-{next(self._count):x}"

    def deadline(self, options: Options, header: bytes = b"") -> float:
        """Seconds this request may take: the shorter of what its header and its parameters say, else the default."""
        within_s = self._deadline_s if options.timeout_s is None else options.timeout_s
        if header:
            if not header.isdigit() or len(header) > 12:
                got = header[:40].decode("latin-1")
                raise InvalidInput(f"header X-Request-Timeout-Ms: expected milliseconds as a whole number, got {got!r}")
            from_header = int(header) / 1000
            within_s = from_header if options.timeout_s is None else min(within_s, from_header)
        return within_s

    def _decode(self, name: str, version: str | None, headers: Asked, body: bytes) -> tuple[Serving, Inquiry, str]:
        own_id = headers.request_id.decode("latin-1")[:256] if headers.request_id else self.new_id()
        unit = headers.unit.decode("latin-1")[:256] if headers.unit else ""
        serving = self.router.pick(name, version, own_id, unit)
        try:
            if headers.content_encoding:
                body = decompress(body, headers.content_encoding.decode("latin-1"), self._max_bytes)
            length = None
            if headers.json_length:
                if not headers.json_length.isdigit() or len(headers.json_length) > 12:
                    got = headers.json_length[:40].decode("latin-1")
                    raise InvalidInput(
                        f"header Inference-Header-Content-Length: expected a whole number of bytes, got {got!r}"
                    )
                length = int(headers.json_length)
            inquiry = serving.codec.decode(body, length)
            body_id = inquiry.options.id
            if not body_id:
                return serving, inquiry, own_id
            # A sticky choice goes by the id in the body, which is known only now; contracts are nearly always equal.
            chosen = self.router.pick(name, version, body_id, unit)
            if chosen is not serving:
                serving, inquiry = chosen, chosen.codec.decode(body, length)
        except ServableError as error:
            serving.stats.failed(error.code)
            raise
        return serving, inquiry, body_id


@lru_cache(TOKENS)
def _token(authorization: bytes, api_key: bytes) -> str | None:
    return bearer(authorization.decode("latin-1"), api_key.decode("latin-1"))


def failure(error: ServableError, request_id: str = "") -> Answer:
    """An error as an HTTP answer: the sentence, the code, the details; no traceback, no path."""
    body = error.body()
    if request_id:
        body["id"] = request_id
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(error, Unavailable):
        headers = ((b"retry-after", b"%d" % max(1, round(error.retry_after_s))),)
    elif error.status == 401:
        headers = ((b"www-authenticate", b"Bearer"),)
    elif "accept_encoding" in error.detail:
        headers = ((b"accept-encoding", ACCEPTED.encode()),)
    if error.status >= 500 and not isinstance(error, (Unavailable, Unsupported)):
        logger.warning("%s: %s", error.code, error.message, extra={"request_id": request_id})
    return Answer(error.status, orjson.dumps(body, default=str), JSON, headers)


def _answer(body: bytes, json_length: int | None, accept_encoding: bytes) -> Answer:
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type = JSON
    if json_length is not None:
        content_type = BINARY
        headers = ((b"inference-header-content-length", b"%d" % json_length),)
    if accept_encoding and len(body) >= WORTH_BYTES:
        encoding = choose(accept_encoding.decode("latin-1"))
        if encoding:
            body = compress(body, encoding)
            headers += ((b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
    return Answer(200, body, content_type, headers)


async def _unless_cancelled(future: asyncio.Future[T], request: Request | None) -> T:
    try:
        return await future
    except asyncio.CancelledError:
        if request is not None:
            request.cancel()
        raise
