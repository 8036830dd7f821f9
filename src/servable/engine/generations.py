"""Generations: the texts that one version is making for this door. Admission, deadlines, cancelling, counting.

Where they are made is a Speaker's affair: threads of this process (`making.py`), or a model process
(`process/speaker.py`). Runs on one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from time import monotonic
from typing import Final, Protocol

from servable.domain.generation import Piece, Prompt
from servable.engine.said import OnSaid, Said
from servable.engine.stats import Stats
from servable.errors import DeadlineExceeded, NotReady, Overloaded, ServableError

Heard = Callable[[Piece | ServableError], None]
"""Takes, on the event loop, each piece, or the error that ends them."""
RETRY_S: Final = 1.0


class Speaker(Protocol):
    """Where texts are made."""

    def start(self, prompt: Prompt, deadline: float, heard: Heard) -> Callable[[], None]:
        """Begin a text, or put it in line; gives what cancels it, after which nothing more is heard."""
        ...

    def close(self) -> None:
        """Give back what it holds; what is being made is given up."""
        ...


class Generations:
    """The one way in. At most `most` texts are under way or wait."""

    def __init__(self, speaker: Speaker, stats: Stats, most: int, on_said: OnSaid | None = None) -> None:
        """`on_said` is told of every text that is over, but of those whose callers have left."""
        self._speaker = speaker
        self._on_said = on_said
        self._stats = stats
        self._most = most
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.active = 0

    async def ask(self, prompt: Prompt, within_s: float, request_id: str = "") -> AsyncGenerator[Piece]:
        """The pieces, as they come. Leaving early (`aclose`) gives the rest up.

        Raises NotReady, Overloaded, DeadlineExceeded, and what the model raises.
        """
        self._admit()
        arrived = monotonic()
        deadline = arrived + within_s
        heard: asyncio.Queue[Piece | ServableError] = asyncio.Queue()
        first = 0.0
        said: list[str] = []
        self._count(1)
        cancel = self._speaker.start(prompt, deadline, heard.put_nowait)
        ended = False
        try:
            while not ended:
                piece = await self._next(heard, deadline, within_s)
                first = first or monotonic()
                said.append(piece.text)
                ended = bool(piece.finish)
                if ended:
                    whole_s = monotonic() - arrived
                    self._answered(piece, first - arrived, whole_s)
                    self._tell(Said(request_id, prompt, "".join(said), piece, first - arrived, whole_s))
                yield piece
        except ServableError as error:
            ended = True
            self._stats.failed(error.code)
            now = monotonic()
            first_s = (first or now) - arrived
            self._tell(Said(request_id, prompt, "".join(said), Piece(""), first_s, now - arrived, error.code))
            raise
        finally:
            cancel()
            self._count(-1)
            if not ended:
                self._stats.cancelled += 1

    async def drain(self) -> None:
        """Return when all that was let in has ended. Nothing more is let in."""
        self._closed = True
        await self._idle.wait()

    def close(self) -> None:
        self._closed = True
        self._speaker.close()

    def _admit(self) -> None:
        if self._closed:
            raise NotReady("this version is being unloaded: ask again", retry_after_s=0.1)
        if self.active >= self._most:
            error = Overloaded(f"{self.active} texts are being made or wait: ask again", retry_after_s=RETRY_S)
            self._stats.failed(error.code)
            raise error

    async def _next(self, heard: asyncio.Queue[Piece | ServableError], deadline: float, within_s: float) -> Piece:
        try:
            async with asyncio.timeout(deadline - monotonic()):
                piece = await heard.get()
        except TimeoutError:
            raise DeadlineExceeded(
                f"the text was not complete within {within_s:g} s: allow more time, or ask for fewer tokens"
            ) from None
        if isinstance(piece, ServableError):
            raise piece
        return piece

    def _answered(self, last: Piece, first_s: float, whole_s: float) -> None:
        """What waited until the first piece counts as queueing: reading the prompt is part of it."""
        self._stats.prompt_tokens += last.prompt_tokens
        self._stats.tokens += last.tokens
        self._stats.executed(1, whole_s)
        self._stats.answered(1, first_s, whole_s)

    def _tell(self, said: Said) -> None:
        if self._on_said is not None:
            self._on_said(said)

    def _count(self, change: int) -> None:
        self.active += change
        self._stats.pending += change
        if self.active:
            self._idle.clear()
        else:
            self._idle.set()
