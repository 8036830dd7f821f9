"""Shortcuts: routes of shelves that the fast protocol answers itself, without a task: what is looked up, not computed.

The same routes stand in the table as well, for every request that the fast protocol leaves to ASGI.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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


class Shortcut(NamedTuple):
    """`quick` says for the values in the path, in their order, whether `answer` will not wait; `answer` is given them,
    the body and a Permit, gives JSON and raises ServableErrors.
    """

    endpoint: Endpoint
    quick: Callable[[Sequence[str]], bool]
    answer: Callable[[Sequence[str], bytes, Permit], bytes]


class Shortcuts:
    """Finds the shortcut of a request; asks the one judge of access before it answers."""

    def __init__(self, shortcuts: Sequence[Shortcut], access: Access, settings: Settings) -> None:
        self._known = [
            (one.endpoint.method.encode(), re.compile(re.sub(r"\{\w+\}", "([^/?#]+)", one.endpoint.path).encode()), one)
            for one in shortcuts
        ]
        self._access = access
        self._max_bytes = settings.max_decompressed_bytes

    def find(self, method: bytes, url: bytes) -> Callable[[Asked, bytes], Answer] | None:
        """What answers this request, given its headers and its body; None: ASGI."""
        for wanted, pattern, shortcut in self._known:
            if method == wanted and (found := pattern.fullmatch(url)) is not None:
                values = [unquote(value.decode("latin-1")) if b"%" in value else value.decode("latin-1")
                          for value in found.groups()]  # fmt: skip
                return partial(self._answer, shortcut, values) if shortcut.quick(values) else None
        return None

    def _answer(self, shortcut: Shortcut, values: Sequence[str], headers: Asked, body: bytes) -> Answer:
        endpoint, access = shortcut.endpoint, self._access
        try:
            permit: Permit = _anybody
            if access.required:
                token = bearer(headers.authorization.decode("latin-1"), headers.api_key.decode("latin-1"))
                role = None if endpoint.role == "open" else endpoint.role
                permit = partial(access.permit, access.check(token, role, None, endpoint.name), act=endpoint.name)
            if headers.content_encoding:
                body = decompress(body, headers.content_encoding.decode("latin-1"), self._max_bytes)
            return Answer(200, shortcut.answer(values, body, permit))
        except ServableError as error:
            return failure(error)


def _anybody(_: str) -> None:
    """No keys are demanded."""
