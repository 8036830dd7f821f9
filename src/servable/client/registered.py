"""Registered: the registry of a server, asked and changed from afar: what `servable models` does, over `/admin`.

`client.registry.promote("churn:3")`, `await client.registry.promote("churn:3")`. The acts are written down under the
name of the client's key. What each says is in `admin.py`; here is who waits for it, and how.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import orjson

from servable.client import admin, exchange
from servable.client.admin import Asked, Conversation
from servable.client.reach import reaching

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")
T = TypeVar("T")


def _waits(act: Callable[P, Conversation[T]]) -> Callable[Concatenate[Registered, P], T]:
    """The act as a method that returns when it is done."""

    @wraps(act)
    def held(self: Registered, /, *args: P.args, **kwargs: P.kwargs) -> T:
        conversation = act(*args, **kwargs)
        try:
            asked = next(conversation)
            while True:
                asked = conversation.send(self.ask(asked))
        except StopIteration as end:
            result: T = end.value
            return result

    return held


def _awaits(act: Callable[P, Conversation[T]]) -> Callable[Concatenate[AsyncRegistered, P], Coroutine[Any, Any, T]]:
    """The act as a method to await."""

    @wraps(act)
    async def held(self: AsyncRegistered, /, *args: P.args, **kwargs: P.kwargs) -> T:
        conversation = act(*args, **kwargs)
        try:
            asked = next(conversation)
            while True:
                asked = conversation.send(await self.ask(asked))
        except StopIteration as end:
            result: T = end.value
            return result

    return held


class Registered:
    """For whoever waits. Every method raises the ServableError that the server tells."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    models = _waits(admin.models)
    model = _waits(admin.model)
    version = _waits(admin.version)
    verdicts = _waits(admin.verdicts)
    history = _waits(admin.history)
    register = _waits(admin.register)
    promote = _waits(admin.promote)
    unalias = _waits(admin.unalias)
    tag = _waits(admin.tag)
    delete = _waits(admin.delete)

    def ask(self, asked: Asked) -> Any:
        """One call; the JSON that it is answered with."""
        with reaching(self._http.base_url):
            reply = self._http.request(asked.method, asked.path, content=asked.body, headers=asked.headers)
        return _read(reply)


class AsyncRegistered:
    """The same for an event loop."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    models = _awaits(admin.models)
    model = _awaits(admin.model)
    version = _awaits(admin.version)
    verdicts = _awaits(admin.verdicts)
    history = _awaits(admin.history)
    register = _awaits(admin.register)
    promote = _awaits(admin.promote)
    unalias = _awaits(admin.unalias)
    tag = _awaits(admin.tag)
    delete = _awaits(admin.delete)

    async def ask(self, asked: Asked) -> Any:
        """One call; the JSON that it is answered with."""
        with reaching(self._http.base_url):
            reply = await self._http.request(asked.method, asked.path, content=asked.body, headers=asked.headers)
        return _read(reply)


def _read(reply: httpx.Response) -> Any:
    if reply.status_code >= 400:
        raise exchange.failure(reply.status_code, reply.content)
    return orjson.loads(reply.content)
