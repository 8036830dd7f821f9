"""Making: one text being made on a thread; and Threads, a Speaker that makes them in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from servable.domain.generation import Generator, Piece, Prompt
from servable.engine.generations import Heard
from servable.errors import DeadlineExceeded, ModelFailed, ServableError

logger = logging.getLogger("servable.engine")


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
