"""Losses: what an answer to rows cost when their outcomes came, each between 0 and 1."""

from __future__ import annotations

from typing import Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.model import Model

FAR: Final = 4.0
"""Deviations of the outcomes at which an error of a number counts in full."""


class Losses:
    """Of a classifier 0 or 1; of numbers the distance, in units of how the outcomes vary so far."""

    def __init__(self) -> None:
        self.moments = [0.0, 0.0, 0.0]
        """Of outcomes that are numbers: count, mean, sum of squares."""
        self.classes = True
        """Whether answers are classes: right or wrong."""
        self.last: object = None
        """The outcome before: what "no change" answers."""

    def of(self, answer: Batch | None, outcomes: Array) -> list[float]:
        """One a row; a model that gave no answer, or no number, loses in full."""
        if answer is None:
            return [1.0] * len(outcomes)
        label = answer.columns.get("label")
        self.classes = label is not None
        if label is not None:
            return [float(wrong) for wrong in (label != outcomes).tolist()]
        told = next(iter(answer.columns.values())).reshape(len(outcomes), -1)[:, 0]
        return self._distances(told.astype(np.float64), outcomes.astype(np.float64))

    def _distances(self, told: Array, outcomes: Array) -> list[float]:
        count, _, squares = self.moments
        wide = FAR * np.sqrt(squares / count) if squares > 0 else 1.0
        losses: list[float] = np.nan_to_num(np.minimum(np.abs(told - outcomes) / wide, 1.0), nan=1.0).tolist()
        return losses

    def no_change(self, outcomes: Array, first: float = 1.0) -> list[float]:
        """Of whoever always answers the outcome before; call it once for each example, in order. Before any there is
        nothing to repeat: it loses `first` then.
        """
        values = outcomes.tolist()
        known = self.last is not None
        before = [self.last if known else values[0], *values[:-1]]
        self.last = values[-1]
        if not self.classes:
            losses = self._distances(np.array(before, np.float64), outcomes)
            for value in values:
                self.moments[0] += 1
                gap = value - self.moments[1]
                self.moments[1] += gap / self.moments[0]
                self.moments[2] += gap * (value - self.moments[1])
        else:
            losses = [float(one != other) for one, other in zip(before, values, strict=True)]
        return losses if known else [first, *losses[1:]]


def answer_of(model: Model, batch: Batch) -> Batch | None:
    """What it answers; None if it raises: it loses then."""
    try:
        return model.predict(batch)
    except Exception:  # noqa: BLE001 - the wall: a learner may raise anything
        return None
