"""Events: an answer that is sent as it is made, as server-sent events (WHATWG HTML, "Server-sent events").

When the client hangs up, the source is closed at once, so that what makes the events stops.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

DONE: Final = b"data: [DONE]\n\n"
"""How OpenAI's streams end."""


class EventStream(StreamingResponse):
    """Sends each document of `source` as one event, then DONE."""

    media_type = "text/event-stream"

    def __init__(self, source: AsyncGenerator[dict[str, Any]]) -> None:
        # A proxy that gathers the answer would undo the streaming; this is nginx's word for "do not".
        super().__init__(_events(source), headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._source.aclose()


async def _events(source: AsyncGenerator[dict[str, Any]]) -> AsyncGenerator[bytes]:
    async for document in source:
        yield b"data: " + orjson.dumps(document) + b"\n\n"
    yield DONE
