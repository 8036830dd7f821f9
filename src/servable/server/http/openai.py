"""OpenAI's routes: `/v1/completions`, `/v1/chat/completions`, `/v1/embeddings`. Its `/v1/models` is in
`tensorflow_v1.py`, which had it first.

Bodies are read and written by `wire/openai.py` and `wire/openai_embeddings.py`; texts are made by
`engine/generations.py`, and begin by `engine/routing/telling.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from time import time
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from servable.domain.ref import Ref
from servable.engine.routing.telling import Teller, Telling
from servable.engine.serving import Serving
from servable.errors import InvalidInput, ServableError, Unsupported, UsageError
from servable.server.http import choices
from servable.server.http.events import EventStream
from servable.server.http.guard import caller_of
from servable.server.http.infer import Asked, asked
from servable.server.http.parts import Handlers, Parts
from servable.server.http.replies import GONE, body_of, reply, unless_gone
from servable.wire import openai, openai_embeddings
from servable.wire.options import Options

PATHS: Final = frozenset({"/v1/completions", "/v1/chat/completions", "/v1/embeddings"})
"""Their errors have this protocol's shape."""


def handlers(parts: Parts) -> Handlers:
    """The handlers of the table OPENAI."""
    texts = _Texts(parts)

    async def completions(request: Request) -> Response:
        return await texts.answer(request, openai.completion)

    async def chats(request: Request) -> Response:
        return await texts.answer(request, openai.chat)

    return {"completions": completions, "chat_completions": chats, "embeddings": texts.embeddings}


class _Texts:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def answer(self, request: Request, read: Callable[[bytes, int], openai.Request]) -> Response:
        """A text, whole or as it is made."""
        parts = self._parts
        wanted = read(await body_of(request, parts.settings), parts.settings.max_tokens)
        request_id, headers = self._said(request)
        serving = self._serving(request, wanted.model, request_id, headers)
        told = headers.deadline
        within_s = parts.inference.deadline(Options(), told) if told else parts.settings.text_deadline_s
        created = int(time())

        async def begun() -> tuple[list[Telling], openai.Answer]:
            # Not before the first piece is it known whether there is an answer at all, and whose it is.
            tellings = await choices.begin(serving, wanted.prompts, within_s, request_id)
            named = _named(tellings[0].by) | _stood_in(tellings)
            return tellings, openai.Answer(wanted, request_id, created, named)

        async def whole() -> dict[str, Any]:
            tellings, written = await begun()
            return written.whole(await choices.whole(tellings))

        try:
            if not wanted.stream:
                return reply(await unless_gone(request, whole()))
            tellings, written = await unless_gone(request, begun())
        except ClientDisconnect:
            return Response(status_code=GONE)
        return EventStream(_chunks(tellings, written))

    async def embeddings(self, request: Request) -> Response:
        parts = self._parts
        wanted = openai_embeddings.asked_of(await body_of(request, parts.settings))
        request_id, headers = self._said(request)
        serving = self._serving(request, wanted.model, request_id, headers)
        fields = openai_embeddings.vectors_of(serving.signature)
        if fields is None:
            raise Unsupported(
                f"model {serving.name!r} makes no embeddings: they need a model of one text input and one output of "
                f"vectors; ask this one at /v2/models/{serving.name}/infer"
            )
        batch = openai_embeddings.batch_of(wanted, fields, serving.signature)
        options = Options(id=request_id)
        within_s = parts.inference.deadline(options, headers.deadline)
        try:
            answer = await unless_gone(request, parts.inference.ask(serving, batch, options, within_s))
        except ClientDisconnect:
            return Response(status_code=GONE)
        return reply(openai_embeddings.encode(answer, wanted, fields, _named(serving)))

    def _said(self, request: Request) -> tuple[str, Asked]:
        """The request's id, and what its headers say."""
        headers = asked(request.headers.raw)
        return headers.request_id.decode("latin-1")[:256] or self._parts.inference.new_id(), headers

    def _serving(self, request: Request, model: str, request_id: str, headers: Asked) -> Serving:
        """The model that the body names: in no path, so the key is asked about it here."""
        try:
            ref = Ref.parse(model)
        except UsageError as error:
            raise InvalidInput(f"model: {error.message}") from error
        peer = request.client.host if request.client else ""
        self._parts.access.permit(caller_of(request), ref.name, f"POST {request.url.path}", peer)
        unit = headers.unit.decode("latin-1")[:256]
        return self._parts.router.pick(ref.name, ref.version or ref.alias, request_id, unit)


def _named(serving: Teller) -> dict[str, Any]:
    """What tells the model and its exact version."""
    return {
        "model": serving.name,
        "model_version": serving.version,
        "system_fingerprint": serving.bundle.digest[:16],
    }


def _stood_in(tellings: Sequence[Telling]) -> dict[str, str]:
    """Who tells one of the texts in the place of the version that was asked, and why."""
    telling = next((telling for telling in tellings if telling.stood_in), None)
    return {"fallback": telling.stood_in, "fallback_reason": telling.why} if telling else {}


async def _chunks(tellings: Sequence[Telling], written: openai.Answer) -> AsyncGenerator[dict[str, Any]]:
    """All documents of a stream. What goes wrong now can only be told inside it."""
    lasts = [telling.first for telling in tellings]
    async with aclosing(choices.merged(tellings)) as pieces:
        for document in written.opening():
            yield document
        for place, first in enumerate(lasts):
            yield written.chunk(first, place)
        try:
            async for place, piece in pieces:
                lasts[place] = piece
                yield written.chunk(piece, place)
        except ServableError as error:
            yield openai.error_of(error)
            return
        for document in written.closing(lasts):
            yield document
