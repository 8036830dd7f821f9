"""Delayed: how good the answers were that callers got, by outcomes that came when they came.

Test-then-train scores judge the learner as it is when an outcome arrives, which flatters it where outcomes are late: by
then it has learned from others. Here the answer that was given is judged, and beside it "no change": the last outcome
that was known when the question came. How late outcomes were stands with it.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.errors import CorruptModel
from servable.online.event import LABEL, Given, array
from servable.statistics.agreement import kappa, kappa_over
from servable.statistics.interval import LEVEL, quantile
from servable.statistics.proportion import wilson

WINDOW: Final = 1000
DELAYS: Final = {"median": 50, "p95": 95, "longest": 100}
"""Of the window, by percentiles."""

Row = tuple[float, Any, Any, Any]


class Delayed:
    """Of the last answers whose outcomes came: how long that took, what was told, what was true, what was before."""

    def __init__(self, window: int = WINDOW) -> None:
        self._rows: deque[Row] = deque(maxlen=window)
        self._seen = 0
        self._classes = True

    def see(self, given: Given, outcomes: Array, now: float) -> None:
        """Outcomes that came at `now`, and what had been answered."""
        self._classes = given.answers.name == LABEL
        told = array(given.answers).tolist()
        for time, answer, true, before in zip(given.times, told, outcomes.tolist(), given.before, strict=True):
            self._rows.append((max(now - time, 0.0), answer, true, before))
        self._seen += len(told)

    def report(self) -> dict[str, Any]:
        """JSON-ready: how many there were, and of the window the delay, and how right they were, or how far off."""
        if not self._rows:
            return {"examples": 0}
        delays, told, true, before = zip(*self._rows, strict=True)
        ends = np.percentile(delays, list(DELAYS.values())).tolist()
        window: dict[str, Any] = {"examples": len(told), "delay_s": dict(zip(DELAYS, ends, strict=True))}
        window |= (_shares if self._classes else _distances)(told, true, before)
        return {"examples": self._seen, "window": window}

    def snapshot(self) -> bytes:
        """All that `restore` needs."""
        return msgspec.msgpack.encode((self._seen, self._classes, list(self._rows)))

    def restore(self, state: bytes) -> None:
        """Be what `snapshot` told."""
        try:
            self._seen, self._classes, rows = msgspec.msgpack.decode(state, type=tuple[int, bool, list[Row]])
        except msgspec.DecodeError as error:
            raise CorruptModel(f"the scores of answers cannot be read: {error}") from error
        self._rows = deque(rows, maxlen=self._rows.maxlen)


def _shares(told: tuple[Any, ...], true: tuple[Any, ...], before: tuple[Any, ...]) -> dict[str, Any]:
    """Of classes: the share that was right, with its band, and that of "no change"."""
    right = sum(one == other for one, other in zip(told, true, strict=True))
    unchanged = sum(one == other for one, other in zip(before, true, strict=True)) / len(true)
    band, accuracy = wilson(right, len(true)), right / len(true)
    return {
        "accuracy": accuracy,
        "accuracy_low": band.low,
        "accuracy_high": band.high,
        "no_change_accuracy": unchanged,
        "kappa": kappa(told, true),
        "kappa_temporal": kappa_over(accuracy, unchanged),
    }


def _distances(told: tuple[Any, ...], true: tuple[Any, ...], before: tuple[Any, ...]) -> dict[str, Any]:
    """Of numbers: how far off on average, "no change" where there was an outcome before, and the mean outcome, which is
    what a bandit earned; means with their bands.
    """
    outcomes = np.array(true, np.float64)
    known = [abs(one - other) for one, other in zip(before, true, strict=True) if one is not None]
    return {
        **_mean("error", np.abs(np.array(told, np.float64) - outcomes)),
        "no_change_error": sum(known) / len(known) if known else None,
        **_mean("outcome", outcomes),
    }


def _mean(name: str, values: Array) -> dict[str, float]:
    mean = float(values.mean())
    if len(values) < 2:
        return {name: mean}
    reach = quantile(LEVEL) * float(values.std(ddof=1)) / len(values) ** 0.5
    return {name: mean, f"{name}_low": mean - reach, f"{name}_high": mean + reach}
