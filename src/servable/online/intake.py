"""Intake: from a lesson that a door brought to an event for the journal: joined with its inputs, and admitted.

What cannot be learned by anyone is refused; what may be a fault of one sender goes to the quarantine with its reason.
"""

from __future__ import annotations

from time import time

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.errors import ServableError
from servable.online import event, messages
from servable.online.guards.admission import NOT_FINITE, unfit
from servable.online.guards.limits import Limits
from servable.online.guards.quarantine import Quarantine
from servable.online.guards.sources import Sources
from servable.online.waiting import Waiting

TOO_MUCH = "its source has taught its share already"


class TooMany(ServableError):
    """Learning is behind, or a source too quick: come back later. Predictions go on."""

    status = 429
    code = "too_many"


class Intake:
    """`waiting` are the rows that were predicted, whose outcomes may come."""

    def __init__(
        self, learner: Learner, signature: Signature, waiting: Waiting, limits: Limits, quarantine: Quarantine
    ) -> None:
        self.waiting = waiting
        self._learner = learner
        self._signature = signature
        self._sources = Sources(limits)
        self._quarantine = quarantine

    def admit(self, lesson: messages.Examples | messages.Outcomes) -> tuple[event.Event | None, tuple[str, ...]]:
        """What goes into the journal, and the ids that nobody knows. Raises TooMany, InvalidInput."""
        now = time()
        outcomes = event.array(lesson.outcomes)
        self._learner.check(outcomes)
        wait_s = self._sources.wait_s(lesson.source, len(lesson.ids), now)
        if wait_s:
            raise TooMany(f"{lesson.source!r} teaches faster than it may: send it again", retry_after_s=wait_s)
        if isinstance(lesson, messages.Examples):
            ids, versions = lesson.ids, (0,) * len(lesson.ids)
            unknown: tuple[str, ...] = ()
            batch: Batch | None = event.batch_of(lesson.columns)
        else:
            places, batch = self.waiting.find(lesson.ids)
            known = set(places)
            ids = tuple(lesson.ids[place] for place in places)
            versions = tuple(lesson.versions[place] for place in places)
            unknown = tuple(key for place, key in enumerate(lesson.ids) if place not in known)
            outcomes = outcomes[places]
        if batch is None:
            return None, unknown
        sent = event.Examples(now, lesson.source, ids, versions, event.columns(batch), event.column("", outcomes))
        return self._fit(sent, batch, outcomes), unknown

    def _fit(self, sent: event.Examples, batch: Batch, outcomes: Array) -> event.Examples | None:
        """The event of the rows that may be learned; the others go into quarantine."""
        bad = unfit(batch, self._signature)
        keep = np.flatnonzero(~bad)
        if len(keep) and self._sources.too_much(sent.source, len(keep)):
            self._turn_away(sent, batch, outcomes, keep, TOO_MUCH)
            keep = keep[:0]
        if bad.any():
            self._turn_away(sent, batch, outcomes, np.flatnonzero(bad), NOT_FINITE)
        if len(keep) == batch.rows or not len(keep):
            return sent if len(keep) else None
        ids = tuple(sent.ids[place] for place in keep.tolist())
        versions = tuple(sent.versions[place] for place in keep.tolist())
        rest, known = event.columns(_rows(batch, keep)), event.column("", outcomes[keep])
        return event.Examples(sent.time, sent.source, ids, versions, rest, known)

    def _turn_away(self, sent: event.Examples, batch: Batch, outcomes: Array, places: Array, reason: str) -> None:
        ids = tuple(sent.ids[place] for place in places.tolist())
        self._quarantine.turned_away(sent.time, sent.source, ids, _rows(batch, places), outcomes[places], reason)


def _rows(batch: Batch, places: Array) -> Batch:
    return Batch({name: values[places] for name, values in batch.columns.items()}, len(places))
