"""Pace: measures how long a row takes to learn, and cuts what is to be learned so that predictions do not wait for it.

Events are cut before they go into the journal, so that a replay learns them in the same pieces: the guards judge all
rows of an event by the state before it. For `teaching.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise
from time import monotonic
from typing import Final

from servable.domain.batch import Batch
from servable.online.event import Event, Examples, array, batch_of, column, columns
from servable.online.fold import Fold
from servable.online.journal import Entry
from servable.online.policy import bounds, room, rows_at_once

LATE: Final = 8
"""Events that tell how long a row takes of late."""


class Pace:
    """No event is to take longer than `within_s`, but for one example that does."""

    def __init__(self, within_s: float, *, careful: bool) -> None:
        """`careful`: predictions wait for it, so that what is not known to be quick is taken for slow."""
        self._within_s = within_s
        self._careful = careful
        self._row_s: deque[float] = deque(maxlen=LATE)

    def apply(self, fold: Fold, entry: Entry) -> None:
        """Have it learned, and look at the time."""
        began = monotonic()
        rows = fold.apply(entry)
        if rows:
            self._row_s.append((monotonic() - began) / rows)

    def cut(self, events: Iterable[Event]) -> list[Event]:
        """The same, those that are too long in pieces."""
        most = rows_at_once(self._row_s, self._within_s)
        if most is None and not self._careful:
            return [*events]
        return [piece for event in events for piece in pieces(event, most)]

    def room(self, within_s: float, most: int) -> int:
        """How many rows may wait to be learned."""
        return room(self._row_s, within_s, most)


def pieces(event: Event, most: int | None) -> Iterator[Event]:
    """An event as several with at most so many rows each; None: that is not known yet.

    >>> import numpy as np
    >>> told = columns(Batch({"x": np.arange(3.0)}))
    >>> whole = Examples(1.0, "ward", ("a", "b", "c"), (0, 0, 0), told, column("", np.arange(3)))
    >>> [piece.ids for piece in pieces(whole, 2)]
    [('a', 'b'), ('c',)]
    """
    cuts = bounds(event.rows, most)
    if not isinstance(event, Examples) or len(cuts) == 2:
        yield event
        return
    batch, outcomes = batch_of(event.columns), array(event.outcomes)
    for start, end in pairwise(cuts):
        rows = Batch({name: values[start:end] for name, values in batch.columns.items()}, end - start)
        yield Examples(
            event.time,
            event.source,
            event.ids[start:end],
            event.versions[start:end],
            columns(rows),
            column(event.outcomes.name, outcomes[start:end]),
            None if event.given is None else event.given.picked(range(start, end)),
        )
