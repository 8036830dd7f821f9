"""Generations: the texts that one version is making for this door. Admission, deadlines, cancelling, counting.

Where they are made is a Speaker's affair: threads of this process (here), or a model process (`process/speaker.py`).
Runs on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final, Protocol

from servable.domain.generation import Generator, Piece, Prompt
from servable.engine.stats import Stats
from servable.errors import DeadlineExceeded, ModelFailed, NotReady, Overloaded, ServableError

Heard = Callable[[Piece | ServableError], None]
"""Takes, on the event loop, each piece, or the error that ends them."""
RETRY_S: Final = 1.0

logger = logging.getLogger("servable.engine")


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

    def __init__(self, speaker: Speaker, stats: Stats, most: int) -> None:
        self._speaker = speaker
        self._stats = stats
        self._most = most
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.active = 0

    async def ask(self, prompt: Prompt, within_s: float) -> AsyncGenerator[Piece]:
        """The pieces, as they come. Leaving early (`aclose`) gives the rest up.

        Raises NotReady, Overloaded, DeadlineExceeded, and what the model raises.
        """
        self._admit()
        arrived = monotonic()
        deadline = arrived + within_s
        heard: asyncio.Queue[Piece | ServableError] = asyncio.Queue()
        first = 0.0
        self._count(1)
        cancel = self._speaker.start(prompt, deadline, heard.put_nowait)
        ended = False
        try:
            while not ended:
                piece = await self._next(heard, deadline, within_s)
                first = first or monotonic()
                ended = bool(piece.finish)
                if ended:
                    self._answered(piece, first - arrived, monotonic() - arrived)
                yield piece
        except ServableError as error:
            self._stats.failed(error.code)
            ended = True
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

    def _count(self, change: int) -> None:
        self.active += change
        self._stats.pending += change
        if self.active:
            self._idle.clear()
        else:
            self._idle.set()


class Threads:
    """A Speaker of this process: a thread for each of the model's slots."""

    def __init__(self, model: Generator) -> None:
        self._model = model
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(model.slots, "servable-generate")
        self._making: set[Making] = set()

    def start(self, prompt: Prompt, deadline: float, heard: Heard) -> Callable[[], None]:
        def told(what: Piece | ServableError) -> None:
            if not making.cancelled:
                heard(what)

        def tell(what: Piece | ServableError) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(told, what)

        making = Making(self._model, prompt, deadline, tell)
        self._making.add(making)
        self._threads.submit(making.run).add_done_callback(lambda _: self._making.discard(making))
        return making.cancel

    def close(self) -> None:
        for making in list(self._making):
            making.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)


class Making:
    """One text being made, on whichever thread calls `run`. `cancel` is for any thread."""

    def __init__(
        self, model: Generator, prompt: Prompt, deadline: float, tell: Callable[[Piece | ServableError], None]
    ) -> None:
        self._model = model
        self._prompt = prompt
        self._deadline = deadline
        self._tell = tell
        self._finished = False
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def run(self) -> None:
        """Make it, unless its caller is gone or its time is up. Tells every piece, or what went wrong."""
        if self.cancelled:
            return
        try:
            self._model.generate(self._prompt, self._say)
            if not self._finished and not self.cancelled:
                late = monotonic() >= self._deadline
                raise DeadlineExceeded("its time ran out") if late else ModelFailed("the model ended without a finish")
        except ServableError as error:
            self._tell(error)
        except Exception as error:  # the wall: a model may raise anything
            logger.exception("the model raised %s", type(error).__name__)
            self._tell(ModelFailed(f"the model failed with {type(error).__name__}; the server's log has the details"))

    def _say(self, piece: Piece) -> bool:
        if self.cancelled or monotonic() >= self._deadline:
            return False
        self._finished = bool(piece.finish)
        if piece.text or piece.finish:
            self._tell(piece)
        return True
