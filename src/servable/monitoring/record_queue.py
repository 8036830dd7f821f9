"""RecordQueue: from the hot path to a sink, bounded. A slow or broken sink costs records, which are counted; never
an answer.

Records are gathered in blocks on the event loop and handed over whole: one wake-up of the writer for many answers.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from servable.domain.record import Record

BLOCK: Final = 512
"""Records in a block, at the most."""
EVERY_S: Final = 0.2
"""A block that is not full is handed over after this long."""

logger = logging.getLogger("servable.monitoring")


class Sink(Protocol):
    """Where records end. Called on the writer's thread only."""

    def write(self, records: Sequence[Record]) -> None: ...

    def close(self) -> None: ...


class RecordQueue:
    """`put` is for the event loop; `counts` may be read anywhere."""

    def __init__(self, sink: Sink, capacity: int, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        """`call_later(seconds, callback)` is the event loop's."""
        self.taken = 0
        self.dropped = 0
        self.failed = 0
        self._sink = sink
        self._capacity = capacity
        self._call_later = call_later
        self._block: list[Record] = []
        self._waiting = 0
        self._timer_set = False
        self._blocks: queue.SimpleQueue[list[Record] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="servable-records", daemon=True)
        self._writer.start()

    def put(self, record: Record) -> None:
        """Take a record, or drop it if as many wait as may."""
        if self._waiting >= self._capacity:
            self.dropped += 1
            return
        self._waiting += 1
        self.taken += 1
        self._block.append(record)
        if len(self._block) >= BLOCK:
            self.flush()
        elif not self._timer_set:
            self._timer_set = True
            self._call_later(EVERY_S, self._on_timer)

    def flush(self) -> None:
        """Hand over what has gathered."""
        if self._block:
            self._blocks.put(self._block)
            self._block = []

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
            try:
                self._sink.write(block)
            except Exception:  # the wall: a sink that fails loses its block, is heard of, and stops nobody
                self.failed += len(block)
                logger.exception("%d records could not be written", len(block))
            self._waiting -= len(block)
        self._sink.close()
