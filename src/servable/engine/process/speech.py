"""Speech: the texts that a model process is making, for all its doors: a thread for each of the model's slots.

The main thread goes on reading frames meanwhile; each piece is sent to its door by the thread that made it. A door that
cannot be written to has gone away, or will: its texts are given up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, Protocol

import msgspec

from servable.domain.generation import Generator, Piece, Prompt
from servable.domain.problem import Problem
from servable.engine.making import Making
from servable.errors import ServableError
from servable.wire import frames

DRAIN_S: Final = 55.0
"""For what is being made when the process retires; the supervisor waits a little longer."""

logger = logging.getLogger("servable.process")

_decode_prompt = msgspec.msgpack.Decoder(Prompt).decode


class Listener(Protocol):
    """A door, as its texts see it."""

    def send(self, parts: list[bytes | memoryview]) -> None:
        """From any thread. Raises OSError."""
        ...


class Speech:
    """All methods but what the threads do are for the main thread."""

    def __init__(self, model: Generator) -> None:
        self._model = model
        self._threads = ThreadPoolExecutor(model.slots, "servable-generate")
        self._making: dict[tuple[Listener, int], Making] = {}
        self._jobs: set[Future[None]] = set()

    def begin(self, door: Listener, number: int, deadline: float, head: memoryview) -> None:
        """Put a prompt in line. Raises BadFrame."""
        try:
            prompt = _decode_prompt(head)
        except frames.UNREADABLE as error:
            raise frames.BadFrame(f"a prompt that cannot be read: {error}") from error
        key = (door, number)
        making = Making(self._model, prompt, deadline, lambda what: self._tell(door, number, what))
        self._making[key] = making
        self.run(making.run, lambda: self._making.pop(key, None))

    def run(self, job: Callable[[], None], after: Callable[[], object] | None = None) -> None:
        """Put anything else that needs the model in the same line."""
        future = self._threads.submit(job)
        self._jobs.add(future)

        def done(ended: Future[None]) -> None:
            self._jobs.discard(ended)
            if after is not None:
                after()

        future.add_done_callback(done)

    def cancel(self, door: Listener, number: int) -> None:
        """The caller is gone."""
        making = self._making.get((door, number))
        if making is not None:
            making.cancel()

    def forget(self, door: Listener) -> None:
        """The door is gone, and all its callers."""
        for (asked_by, _), making in list(self._making.items()):
            if asked_by is door:
                making.cancel()

    def drain(self) -> None:
        """Wait for what is being made."""
        wait(list(self._jobs), DRAIN_S)

    def _tell(self, door: Listener, number: int, what: Piece | ServableError) -> None:
        if isinstance(what, ServableError):
            frame = frames.problem(number, Problem.of(what))
        else:
            frame = frames.piece(number, what)
        try:
            door.send([frame])
        except OSError:
            self.cancel(door, number)
