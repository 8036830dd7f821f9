"""Telling: a text that has begun, and who tells it. Before its first piece a text may still be another's affair; from
then on it is that one's, whatever happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, Protocol

from servable.domain.bundle import Bundle
from servable.domain.generation import Piece, Prompt
from servable.engine.generations import Generations
from servable.engine.routing.breaker import Breaker, Probe
from servable.engine.stats import Stats
from servable.errors import DeadlineExceeded, ServableError, Unsupported


class Teller(Protocol):
    """A version that may make texts."""

    name: str
    version: str
    bundle: Bundle
    stats: Stats
    breaker: Breaker
    generations: Generations | None


class Telling(NamedTuple):
    """The first piece, and those that follow it. Where another stands in: `stood_in` says who, and `why` the code."""

    by: Teller
    first: Piece
    rest: AsyncGenerator[Piece]
    stood_in: str = ""
    why: str = ""


async def begin(
    serving: Teller, prompt: Prompt, within_s: float, request_id: str = "", first_s: float | None = None
) -> Telling:
    """Return with the first piece, which may take `first_s` at the most. Raises Unsupported for a model that makes no
    texts, CircuitOpen, and what its generations raise.
    """
    generations = serving.generations
    if generations is None:
        raise Unsupported(
            f"model {serving.name!r} makes no texts: it is {serving.bundle.manifest.format}; "
            f"ask it at /v2/models/{serving.name}/infer"
        )
    probe = serving.breaker.let_in()
    pieces = generations.ask(prompt, within_s, request_id)
    try:
        async with asyncio.timeout(first_s):
            first = await anext(pieces)
    except TimeoutError:
        error = DeadlineExceeded(f"the text did not begin within {first_s:g} s")
        serving.stats.failed(error.code)
        _tell(serving, probe, error.code)
        raise error from None
    except ServableError as error:
        _tell(serving, probe, error.code)
        raise
    finally:
        if probe is not None:
            probe.over = True
    _tell(serving, probe, "")
    return Telling(serving, first, pieces)


def followed(telling: Telling, on_whole: Callable[[str], None]) -> Telling:
    """The same, and who is given the whole text once its last piece is out; of one that is given up, nobody is."""

    async def rest() -> AsyncGenerator[Piece]:
        said, finish = [telling.first.text], telling.first.finish
        try:
            async for piece in telling.rest:
                said.append(piece.text)
                finish = piece.finish
                yield piece
        finally:
            await telling.rest.aclose()
        if finish:
            on_whole("".join(said))

    return telling._replace(rest=rest())


def _tell(serving: Teller, probe: Probe | None, code: str) -> None:
    if probe is not None:
        serving.breaker.ended(code)
