"""Fold: a learner as the sum of a journal. The same entries in the same order give the same state, to the bit.

Each example has its effect once, however often it was sent: an outcome counts if its id is new, or its version is
higher than the one that counted before. What is remembered for that is part of the state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

import msgspec
import numpy as np

from servable.domain.batch import Batch
from servable.domain.model import Learner
from servable.errors import CorruptModel
from servable.online.delayed import Delayed
from servable.online.event import Asked, Examples, array, batch_of
from servable.online.journal import Entry

REMEMBERED: Final = 100_000
"""Ids of examples that a repetition is known by: the last ones."""


class State(msgspec.Struct, frozen=True, array_like=True):
    """All that a fold is at an offset."""

    offset: int
    learned: int
    seen: dict[str, int]
    learner: bytes
    delayed: bytes = b""


class Fold:
    """`offset`: how many examples of the journal are in it; `learned`: how many of them had an effect."""

    def __init__(self, learner: Learner, without: Collection[str] = (), remembered: int = REMEMBERED) -> None:
        """`without`: sources whose examples have no effect."""
        self.learner = learner
        self.offset = 0
        self.learned = 0
        self.delayed = Delayed()
        """How right the answers were that callers got."""
        self._without = frozenset(without)
        self._remembered = remembered
        self._seen: dict[str, int] = {}
        self._order: deque[tuple[str, int]] = deque()
        """What was seen, the oldest first: to find its first key, a dict walks past all that were taken from it."""

    def apply(self, entry: Entry) -> int:
        """Take an entry in; how many of its examples had an effect. Raises CorruptModel for one out of its turn."""
        if entry.offset != self.offset:
            raise CorruptModel(f"the journal goes on at example {entry.offset}, expected was {self.offset}")
        event = entry.event
        if isinstance(event, Asked):
            return 0
        self.offset = entry.after
        if event.source in self._without:
            return 0
        fresh = self._fresh(event)
        if fresh:
            batch, outcomes = batch_of(event.columns), array(event.outcomes)
            if len(fresh) < event.rows:
                places = np.array(fresh)
                batch = Batch({name: values[places] for name, values in batch.columns.items()}, len(fresh))
                outcomes = outcomes[places]
            if event.given is not None:
                given = event.given if len(fresh) == event.rows else event.given.picked(fresh)
                self.delayed.see(given, outcomes, event.time)
            self.learner.learn(batch, outcomes)
            self.learned += len(fresh)
        return len(fresh)

    def replay(self, entries: Iterable[Entry]) -> None:
        """Take in all entries from here on."""
        for entry in entries:
            self.apply(entry)

    def _fresh(self, event: Examples) -> list[int]:
        """The rows that were not learned before, which they are now."""
        seen, order = self._seen, self._order
        told = dict(zip(event.ids, event.versions, strict=True))
        if len(told) == event.rows and seen.keys().isdisjoint(told) and min(event.versions, default=0) >= 0:
            # Most often: none of them was ever seen.
            seen.update(told)
            order.extend(told.items())
            fresh = [*range(event.rows)]
        else:
            fresh = [row for row, one in enumerate(zip(event.ids, event.versions, strict=True)) if self._news(*one)]
        while len(seen) > self._remembered:
            key, version = order.popleft()
            if seen[key] == version:  # else it was corrected since
                del seen[key]
        if len(order) > 2 * self._remembered:  # corrections without end
            self._order = deque(seen.items())
        return fresh

    def _news(self, key: str, version: int) -> bool:
        """Whether an example, or a correction of it, was not learned before; it is now."""
        if self._seen.get(key, -1) >= version:
            return False
        self._seen.pop(key, None)
        self._seen[key] = version
        self._order.append((key, version))
        return True

    def state(self) -> State:
        """What it is now."""
        return State(self.offset, self.learned, dict(self._seen), self.learner.snapshot(), self.delayed.snapshot())

    def take(self, state: State) -> None:
        """Be what it was. Raises what the learner raises for a state that is not its own."""
        self.learner.restore(state.learner)
        if state.delayed:
            self.delayed.restore(state.delayed)
        self.offset, self.learned, self._seen = state.offset, state.learned, dict(state.seen)
        self._order = deque(self._seen.items())
