"""Record: the fact of one prediction."""

from __future__ import annotations

from typing import NamedTuple

from servable.domain.batch import Batch


class Record(NamedTuple):
    """What was asked, what was answered, by whom, at what cost. Made on the hot path, so a plain tuple.

    `time` is seconds since the epoch; `queue_s` and `compute_s` are seconds (compute is that of the whole model call
    this request shared); `error` is the error's code, empty when answered.
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
