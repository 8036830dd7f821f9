"""The queue of records is bounded: what has no place is dropped and counted, and nobody waits."""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from servable.domain.batch import Batch
from servable.domain.record import Records
from servable.monitoring.record_queue import BLOCK, RecordQueue


def call(*ids: str) -> Records:
    batch = Batch({"x": np.zeros(len(ids))})
    return Records("m", "1", 0.0, 0.0, ids, range(len(ids)), [1] * len(ids), [0.0] * len(ids), batch, batch)


class Memory:
    """A sink that keeps ids; it waits for `open` first, and fails at the id "bad"."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.open = threading.Event()
        self.closed = False

    def write(self, calls: Sequence[Records]) -> None:
        assert self.open.wait(30)
        ids = [record.id for records in calls for record in records]
        if "bad" in ids:
            raise OSError("no space left")
        self.ids += ids

    def close(self) -> None:
        self.closed = True


class Timer:
    """Stands in for the event loop's: its callbacks are called by the test."""

    def __init__(self) -> None:
        self.set: list[Callable[[], None]] = []

    def __call__(self, seconds: float, callback: Callable[[], None]) -> None:
        assert seconds > 0
        self.set.append(callback)

    def ring(self) -> None:
        for callback in self.set:
            callback()
        self.set = []


def test_records_go_on_by_the_block_or_by_time_and_in_order() -> None:
    sink, timer = Memory(), Timer()
    sink.open.set()
    queue = RecordQueue(sink, 10_000, timer)
    names = [f"{number}" for number in range(BLOCK + 3)]
    for name in names:
        queue.put(call(name))
    queue.put(call("a", "b"))
    assert len(timer.set) == 1
    timer.ring()
    queue.put(call("last"))
    queue.close()
    assert sink.ids == [*names, "a", "b", "last"]
    assert sink.closed
    assert queue.counts() == {"taken": BLOCK + 6, "dropped": 0, "failed": 0, "waiting": 0}


def test_what_has_no_place_is_dropped_and_counted() -> None:
    sink, timer = Memory(), Timer()
    queue = RecordQueue(sink, 5, timer)
    queue.put(call("a", "b", "c"))
    queue.put(call("d", "e", "f"))
    queue.put(call("g", "h"))
    queue.put(call("i"))
    assert queue.counts() == {"taken": 5, "dropped": 4, "failed": 0, "waiting": 5}
    sink.open.set()
    queue.close()
    assert sink.ids == ["a", "b", "c", "g", "h"]


def test_a_block_that_the_sink_fails_on_is_lost_and_the_next_is_not() -> None:
    sink, timer = Memory(), Timer()
    sink.open.set()
    queue = RecordQueue(sink, 100, timer)
    queue.put(call("bad", "luck"))
    timer.ring()
    queue.put(call("good"))
    queue.close()
    assert sink.ids == ["good"]
    assert queue.counts() == {"taken": 3, "dropped": 0, "failed": 2, "waiting": 0}
