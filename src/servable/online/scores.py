"""Scores: how good the answers were, test then train: each example is predicted before it is learned.

Over the last examples (a sliding window) and over all. What is computed from them is in `report`; here they are kept.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

import msgspec

from servable.domain.batch import Array, Batch
from servable.errors import CorruptModel
from servable.statistics.agreement import kappa, kappa_over
from servable.statistics.proportion import wilson

WINDOW: Final = 1000
LEAST: Final = 1e-15
"""The least probability that a log-loss reckons with."""


class _State(msgspec.Struct, array_like=True):
    totals: list[float]
    recent: list[tuple[float, float, float, float, Any, Any]]


class Scores:
    """`totals`: examples, and the sums of the losses of who answered, of the learner, of "no change", and log-loss."""

    def __init__(self, window: int = WINDOW) -> None:
        self.totals = [0.0] * 5
        self._recent: deque[tuple[float, float, float, float, Any, Any]] = deque(maxlen=window)

    def see(
        self, answer: Batch | None, outcomes: Array, served: list[float], learner: list[float], no_change: list[float]
    ) -> None:
        """Rows that were answered, their outcomes, and what each contender lost by them."""
        told = [None] * len(outcomes) if answer is None or "label" not in answer else answer["label"].tolist()
        logs = _log_losses(answer, outcomes)
        self._recent.extend(zip(served, learner, no_change, logs, told, outcomes.tolist(), strict=True))
        for place, values in enumerate((served, learner, no_change, logs), 1):
            self.totals[place] += math.fsum(values)
        self.totals[0] += len(outcomes)

    def report(self) -> dict[str, Any]:
        """JSON-ready: over the window, with bands, and over all."""
        count, *sums = self.totals
        names = ("loss", "learner_loss", "no_change_loss", "log_loss")
        report: dict[str, Any] = {"examples": int(count)}
        if not count:
            return report
        report["all"] = {name: value / count for name, value in zip(names, sums, strict=True)}
        rows = list(self._recent)
        window = {name: math.fsum(row[place] for row in rows) / len(rows) for place, name in enumerate(names)}
        report["window"] = {"examples": len(rows), **window}
        if rows[-1][4] is not None:
            right = sum(row[0] == 0.0 for row in rows)
            band = wilson(right, len(rows))
            told, true = [row[4] for row in rows], [row[5] for row in rows]
            accuracy = right / len(rows)
            report["all"]["accuracy"] = 1.0 - sums[0] / count
            report["window"] |= {
                "accuracy": accuracy,
                "accuracy_low": band.low,
                "accuracy_high": band.high,
                "no_change_accuracy": 1.0 - window["no_change_loss"],
                "kappa": kappa(told, true),
                "kappa_temporal": kappa_over(accuracy, 1.0 - window["no_change_loss"]),
            }
        return report

    def snapshot(self) -> bytes:
        """All that `restore` needs."""
        return msgspec.msgpack.encode(_State(self.totals, list(self._recent)))

    def restore(self, state: bytes) -> None:
        """Be what `snapshot` told."""
        try:
            held = msgspec.msgpack.decode(state, type=_State)
        except msgspec.DecodeError as error:
            raise CorruptModel(f"the scores cannot be read: {error}") from error
        self.totals = held.totals
        self._recent = deque(held.recent, maxlen=self._recent.maxlen)


def _log_losses(answer: Batch | None, outcomes: Array) -> list[float]:
    """Minus the logarithm of the probability that the true class was given, where answers have two classes and more."""
    if answer is None or "probabilities" not in answer or "label" not in answer:
        return [0.0] * len(outcomes)
    # The true class is the one that was told, or, of two, the other one; of more the others share what is left.
    told = answer["probabilities"].max(axis=1).tolist()
    right = (answer["label"] == outcomes).tolist()
    chances = [chance if good else 1.0 - chance for chance, good in zip(told, right, strict=True)]
    if min(chances, default=1.0) < LEAST:
        chances = [max(chance, LEAST) for chance in chances]
    return [-one for one in map(math.log, chances)]
