"""Probe: a few hundred rows that a learner is asked about again and again, to see how far its answers move.

A poisoned learner is seen by its answers before its accuracy tells (T. Pang et al., "Accumulative poisoning attacks on
real-time data", NeurIPS 2021: many harmless steps, then one that counts).
"""

from __future__ import annotations

from collections import deque

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.model import Model
from servable.online.event import Column, array, batch_of, column, columns

Written = tuple[list[tuple[tuple[Column, ...], Column]], tuple[Column, ...] | None]
EXAM = 100
"""Examples that are kept at least: the last ones."""


class Probe:
    """`see` gathers rows; `settle` makes the last of them those that are asked about from then on; `exam` gives them
    with their outcomes.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._recent: deque[tuple[Batch, Array]] = deque()
        self._held = 0
        self._asked: Batch | None = None
        self._before: Array | None = None

    def see(self, batch: Batch, outcomes: Array) -> None:
        """Rows that were admitted."""
        self._recent.append((batch, outcomes))
        self._held += batch.rows
        while self._held - self._recent[0][0].rows >= max(self._rows, EXAM):
            self._held -= self._recent.popleft()[0].rows

    def exam(self) -> tuple[Batch, Array]:
        """The last rows, and their outcomes: what a state that is older than they are knows of them."""
        return Batch.join([batch for batch, _ in self._recent]), np.concatenate([told for _, told in self._recent])

    def settle(self, model: Model) -> None:
        """Ask about the last rows from now on."""
        if self._held >= self._rows:
            self._asked = Batch.join([batch for batch, _ in self._recent]).slice(self._held - self._rows, self._held)
            self.forget(model)

    @property
    def settled(self) -> bool:
        """Whether there are rows to ask about."""
        return self._asked is not None

    def look(self, model: Model) -> float:
        """How far the answers have moved since the last look, on average: 0 to 1; infinite if one is no number."""
        if self._asked is None:
            return 0.0
        now = _answers(model.predict(self._asked))
        before, self._before = self._before, now
        return shift(before, now)

    def forget(self, model: Model) -> None:
        """The model went back: what it answers now is what the next look compares with."""
        self._before = None
        self.look(model)

    def state(self) -> Written:
        """All that `take` needs."""
        recent = [(columns(batch), column("", outcomes)) for batch, outcomes in self._recent]
        return recent, None if self._asked is None else columns(self._asked)

    def take(self, state: Written) -> None:
        """Be what `state` told; `forget` then, with the model as it was at the last look."""
        recent, asked = state
        self._recent = deque((batch_of(held), array(outcomes)) for held, outcomes in recent)
        self._held = sum(batch.rows for batch, _ in self._recent)
        self._asked = None if asked is None else batch_of(asked)


def shift(before: Array | None, now: Array) -> float:
    """The mean distance of answers, in units of how far answers lie apart."""
    if not np.isfinite(now).all():
        return float("inf")
    if before is None:
        return 0.0
    wide = max(float(np.ptp(before)), float(np.ptp(now)))
    return float(np.abs(now - before).mean()) / wide if wide else 0.0


def _answers(answer: Batch) -> Array:
    """Probabilities if there are any, else what is numeric."""
    chosen = answer.columns.get("probabilities")
    if chosen is None:
        chosen = next((values for values in answer.columns.values() if values.dtype.kind in "fiu"), np.zeros(0))
    return np.asarray(chosen, np.float64)
