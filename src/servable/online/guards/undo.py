"""Undo: the last state that passed its checks, and the examples since: any step can be taken back, none is copied.

A state is written down once in many examples; a step is undone by going back to it and learning the others again,
which gives the same bits, for learning is deterministic.
"""

from __future__ import annotations

import logging

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.model import Learner
from servable.online.event import Column, array, batch_of, column, columns

Lesson = tuple[Batch, Array]
Written = tuple[bytes, list[tuple[tuple[Column, ...], Column]]]

logger = logging.getLogger("servable.online")


class Undo:
    """Learns with a way back. `base` is the last state that passed; `rows` were learned since."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._shows = hasattr(learner, "parameters")
        """Its weights."""
        self.base = learner.snapshot()
        self.rows = 0
        self._since: list[Lesson] = []

    def learn(self, batch: Batch, outcomes: Array) -> str | None:
        """Learn, and None; or leave everything as it was, and the reason."""
        try:
            self._learner.learn(batch, outcomes)
            good = finite(self._learner, batch)
        except Exception as error:  # noqa: BLE001 - the wall: a learner may raise anything at an accepted example
            reason = f"the learner raised {type(error).__name__}: {error}"[:500]
        else:
            if good:
                self._since.append((batch, outcomes))
                self.rows += batch.rows
                return None
            reason = "a weight or an answer was no finite number any more"
        logger.warning("%d examples are not learned: %s", batch.rows, reason)
        self._again()
        return reason

    def keep(self, most_bytes: int) -> bool:
        """What was learned since stays: it passed. False, and nothing has changed, if the state is larger than that."""
        state = self._learner.snapshot()
        if len(state) > most_bytes:
            return False
        if not self._shows:  # objects in Python: what was read back is quicker, and what a restart goes on with
            self._learner.restore(state)
        self.base, self._since, self.rows = state, [], 0
        return True

    def take_back(self) -> list[Lesson]:
        """Go back to the last state that passed; what was learned since."""
        since, self._since, self.rows = self._since, [], 0
        self._learner.restore(self.base)
        return since

    def _again(self) -> None:
        self._learner.restore(self.base)
        for batch, outcomes in self._since:
            self._learner.learn(batch, outcomes)

    def state(self) -> Written:
        """All that `take` needs: it learns again what was learned since."""
        return self.base, [(columns(batch), column("", outcomes)) for batch, outcomes in self._since]

    def take(self, state: Written) -> None:
        """Be what `state` told."""
        self.base = state[0]
        self._since = [(batch_of(held), array(outcomes)) for held, outcomes in state[1]]
        self.rows = sum(batch.rows for batch, _ in self._since)
        self._again()


def finite(learner: Learner, batch: Batch) -> bool:
    """Whether all that a learner shows of its weights is finite; of one that shows nothing, its answer to a row of what
    it has just learned.
    """
    parameters = getattr(learner, "parameters", None)
    if parameters is not None:
        return bool(np.isfinite(parameters()).all())
    told = learner.predict(batch.slice(batch.rows - 1, batch.rows)).columns.values()
    return all(bool(np.isfinite(values).all()) for values in told if values.dtype.kind == "f")
