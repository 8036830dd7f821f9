"""RecordQueue: from the hot path to a sink, bounded. A slow or broken sink costs records, which are counted; never
an answer.

The records of a model call come together, as columns. Calls are gathered in blocks on the event loop and handed over
whole: one wake-up of the writer for many answers.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence, Sized
from typing import Final, Generic, Protocol, TypeVar

T = TypeVar("T", bound=Sized)
T_contra = TypeVar("T_contra", bound=Sized, contravariant=True)

BLOCK: Final = 512
"""A block of so many records, or a little more, is handed over."""
EVERY_S: Final = 0.2
"""A block that is not full is handed over after this long."""

logger = logging.getLogger("servable.monitoring")


class Sink(Protocol[T_contra]):
    """Where records end. Called on the writer's thread only."""

    def write(self, calls: Sequence[T_contra]) -> None: ...

    def close(self) -> None: ...


class RecordQueue(Generic[T]):
    """Of whatever comes in pieces of a length. `put` is for the event loop; `counts` may be read anywhere."""

    def __init__(self, sink: Sink[T], capacity: int, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        """`call_later(seconds, callback)` is the event loop's."""
        self.taken = 0
        self.dropped = 0
        self.failed = 0
        self._sink = sink
        self._capacity = capacity
        self._call_later = call_later
        self._block: list[T] = []
        self._gathered = 0
        self._waiting = 0
        self._timer_set = False
        self._blocks: queue.SimpleQueue[list[T] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="servable-records", daemon=True)
        self._writer.start()

    def put(self, records: T) -> None:
        """Take the records of a call, or drop them if as many wait as may."""
        count = len(records)
        if self._waiting + count > self._capacity:
            self.dropped += count
            return
        self._waiting += count
        self.taken += count
        self._gathered += count
        self._block.append(records)
        if self._gathered >= BLOCK:
            self.flush()
        elif not self._timer_set:
            self._timer_set = True
            self._call_later(EVERY_S, self._on_timer)

    def flush(self) -> None:
        """Hand over what has gathered."""
        if self._block:
            self._blocks.put(self._block)
            self._block = []
            self._gathered = 0

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, then close the sink."""
        self.flush()
        self._blocks.put(None)
        self._writer.join(timeout_s)

    def counts(self) -> dict[str, int]:
        """Records taken, dropped because the sink lagged, and lost because it failed; and those that wait."""
        return {"taken": self.taken, "dropped": self.dropped, "failed": self.failed, "waiting": self._waiting}

    def _on_timer(self) -> None:
        self._timer_set = False
        self.flush()

    def _write(self) -> None:
        while (block := self._blocks.get()) is not None:
            count = sum(len(records) for records in block)
            try:
                self._sink.write(block)
            except Exception:  # the wall: a sink that fails loses its block, is heard of, and stops nobody
                self.failed += count
                logger.exception("%d records could not be written", count)
            self._waiting -= count
        self._sink.close()
