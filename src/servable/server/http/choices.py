"""Choices: the texts of one request, which may ask for several: begun together, read together, given up together.

Called by `openai.py`. A text that fails takes the others with it: the request has one answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from servable.domain.generation import Piece, Prompt
from servable.engine.routing.telling import Telling
from servable.engine.serving import Serving
from servable.errors import ServableError

T = TypeVar("T")


async def begin(serving: Serving, prompts: Sequence[Prompt], within_s: float, request_id: str) -> list[Telling]:
    """All texts, once the last has begun; of several each has a number behind the request's id. Raises what one
    raises, with none left behind.
    """
    several = len(prompts) > 1
    starts = [
        asyncio.ensure_future(serving.begin(prompt, within_s, f"{request_id}-{place}" if several else request_id))
        for place, prompt in enumerate(prompts)
    ]
    try:
        return list(await asyncio.gather(*starts))
    except BaseException:
        for start in starts:
            start.cancel()
        for began in await asyncio.gather(*starts, return_exceptions=True):
            if isinstance(began, Telling):
                await began.rest.aclose()
        raise


async def whole(tellings: Sequence[Telling]) -> list[tuple[str, Piece]]:
    """Each text, and its last piece."""
    return await _together([_read(telling) for telling in tellings])


async def merged(tellings: Sequence[Telling]) -> AsyncGenerator[tuple[int, Piece]]:
    """The pieces after the first ones as they come, with the place of their text. Raises what ends one of them."""
    heard: asyncio.Queue[tuple[int, Piece | ServableError | None]] = asyncio.Queue()
    readers = [asyncio.ensure_future(_hear(place, telling, heard)) for place, telling in enumerate(tellings)]
    left = len(readers)
    try:
        while left:
            place, piece = await heard.get()
            if isinstance(piece, ServableError):
                raise piece
            if piece is None:
                left -= 1
            else:
                yield place, piece
    finally:
        await _ended(readers)


async def _hear(place: int, telling: Telling, heard: asyncio.Queue[tuple[int, Piece | ServableError | None]]) -> None:
    try:
        async with aclosing(telling.rest) as pieces:
            async for piece in pieces:
                heard.put_nowait((place, piece))
    except ServableError as error:
        heard.put_nowait((place, error))
    else:
        heard.put_nowait((place, None))


async def _read(telling: Telling) -> tuple[str, Piece]:
    last = telling.first
    text = last.text
    async with aclosing(telling.rest) as pieces:
        async for piece in pieces:
            text += piece.text
            last = piece
    return text, last


async def _together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await _ended(tasks)


async def _ended(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
