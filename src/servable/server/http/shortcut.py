"""Shortcuts: routes of shelves that the fast protocol answers itself, without a task: what is looked up, not computed.

All that is asked of one in the same turn of the loop is answered together, as a lane does with predictions. The same
routes stand in the table as well, for every request that the fast protocol leaves to ASGI.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from servable.domain.endpoint import Endpoint
from servable.errors import ServableError
from servable.server.access.access import Access, bearer
from servable.server.http.infer import Answer, Asked, failure
from servable.settings import Settings
from servable.wire.compression import decompress

Permit = Callable[[str], None]
"""Takes the name of a model. Raises Forbidden unless the caller may ask it."""
Ask = tuple[Sequence[str], bytes, Permit]
"""The values in the path, in their order, and the body."""
Respond = Callable[[Answer], None]

logger = logging.getLogger("servable.server")


class Shortcut(NamedTuple):
    """`quick` says for the values in a path whether `answer` will not wait. That gives for each of those who ask at the
    same time its JSON or its error, in their order.
    """

    endpoint: Endpoint
    quick: Callable[[Sequence[str]], bool]
    answer: Callable[[Sequence[Ask]], Iterable[bytes | ServableError]]


Found = tuple[Shortcut, Sequence[str]]
"""The shortcut of a request, and the values in its path."""


class _Gathered(NamedTuple):
    """Who asks one shortcut in this turn of the loop."""

    shortcut: Shortcut
    asks: list[Ask]
    responds: list[Respond]


class Shortcuts:
    """Finds the shortcut of a request, and asks the one judge of access before it is answered. For one event loop."""

    def __init__(self, shortcuts: Sequence[Shortcut], access: Access, settings: Settings) -> None:
        self._known = [
            (one.endpoint.method.encode(), re.compile(re.sub(r"\{\w+\}", "([^/?#]+)", one.endpoint.path).encode()), one)
            for one in shortcuts
        ]
        self._access = access
        self._max_bytes = settings.max_decompressed_bytes
        self._loop = asyncio.get_running_loop()
        self._gathered: dict[str, _Gathered] = {}

    def find(self, method: bytes, url: bytes) -> Found | None:
        """The shortcut of this request; None: ASGI."""
        for wanted, pattern, shortcut in self._known:
            if method == wanted and (found := pattern.fullmatch(url)) is not None:
                values = [unquote(value.decode("latin-1")) if b"%" in value else value.decode("latin-1")
                          for value in found.groups()]  # fmt: skip
                return (shortcut, values) if shortcut.quick(values) else None
        return None

    def submit(self, found: Found, headers: Asked, body: bytes, respond: Respond) -> None:
        """Have a request answered, with all others of this turn; `respond` is called once, now or then."""
        shortcut, values = found
        endpoint, access = shortcut.endpoint, self._access
        permit: Permit = _anybody
        try:
            if access.required:
                token = bearer(headers.authorization.decode("latin-1"), headers.api_key.decode("latin-1"))
                role = None if endpoint.role == "open" else endpoint.role
                permit = partial(access.permit, access.check(token, role, None, endpoint.name), act=endpoint.name)
            if headers.content_encoding:
                body = decompress(body, headers.content_encoding.decode("latin-1"), self._max_bytes)
        except ServableError as error:
            respond(failure(error))
            return
        gathered = self._gathered.get(endpoint.name)
        if gathered is None:
            if not self._gathered:
                self._loop.call_soon(self._turn)
            gathered = self._gathered[endpoint.name] = _Gathered(shortcut, [], [])
        gathered.asks.append((values, body, permit))
        gathered.responds.append(respond)

    def _turn(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for shortcut, asks, responds in gathered.values():
            answers = _answers(shortcut, asks)
            for respond in responds:
                answer = next(answers, FAILED)
                respond(failure(answer) if isinstance(answer, ServableError) else Answer(200, answer))


FAILED = ServableError("the server failed to answer: its log says why")


def _answers(shortcut: Shortcut, asks: Sequence[Ask]) -> Iterator[bytes | ServableError]:
    """What the shortcut answers, as far as it comes."""
    try:
        yield from shortcut.answer(asks)
    except Exception:  # the wall: whoever asked must hear, whatever a shelf raised
        logger.exception("%s failed", shortcut.endpoint.name)


def _anybody(_: str) -> None:
    """No keys are demanded."""
