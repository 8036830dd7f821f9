"""Record: the fact of one prediction. Records: those of the predictions that shared a model call, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from servable.domain.batch import Batch
from servable.domain.rule import Fired


class Record(NamedTuple):
    """What was asked, what was answered, by whom, at what cost.

    `time` is seconds since the epoch; `queue_s` and `compute_s` are seconds (compute is that of the whole model call
    this request shared); `error` is the error's code, empty when answered. `fired` are the rules that did.
    """

    id: str
    model: str
    version: str
    time: float
    rows: int
    queue_s: float
    compute_s: float
    inputs: Batch | None
    outputs: Batch | None
    error: str = ""
    fired: Sequence[Fired] = ()


class Records(msgspec.Struct, frozen=True):
    """What the hot path hands over: what all share is held once, and the rows of all lie in the batches of the call.

    The rows of the record at a place begin at `starts[place]` in both batches. Iterating gives each as a Record, which
    costs more than reading the columns. A record of rules that `fired` is alone.
    """

    model: str
    version: str
    time: float
    compute_s: float
    ids: Sequence[str]
    starts: Sequence[int]
    rows: Sequence[int]
    queue_s: Sequence[float]
    inputs: Batch
    outputs: Batch | None
    error: str = ""
    fired: Sequence[Fired] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Record]:
        for id, start, rows, queue_s in zip(self.ids, self.starts, self.rows, self.queue_s, strict=True):
            inputs, outputs = (
                batch if batch is None or batch.rows == rows else batch.slice(start, start + rows)
                for batch in (self.inputs, self.outputs)
            )
            yield Record(
                id, self.model, self.version, self.time, rows, queue_s, self.compute_s, inputs, outputs, self.error,
                self.fired,
            )  # fmt: skip


def ids_of(key: str, rows: int) -> tuple[str, ...]:
    """The ids of the rows of one request: those of their predictions.

    >>> ids_of("a", 1), ids_of("a", 2)
    (('a',), ('a/0', 'a/1'))
    """
    return (key,) if rows == 1 else tuple(f"{key}/{row}" for row in range(rows))
