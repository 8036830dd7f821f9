"""Intake: from the lessons that doors brought to events for the journal: joined with their inputs, and admitted.

What cannot be learned by anyone is refused; what may be a fault of one sender goes to the quarantine with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import time
from typing import Final, TypeVar

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.model import Learner
from servable.domain.problem import Problem
from servable.domain.signature import Signature
from servable.errors import ServableError, TooMany
from servable.online import event
from servable.online.groups import Group, groups
from servable.online.guards.admission import NOT_FINITE, unfit
from servable.online.guards.limits import Limits
from servable.online.guards.quarantine import Quarantine
from servable.online.guards.sources import Sources
from servable.online.messages import Asked, Examples, Lesson, Taken
from servable.online.waiting import Waiting

T = TypeVar("T")

TOO_MUCH: Final = "its source has taught its share already"
UNKNOWN, TURNED_AWAY, TAKEN = range(3)
"""What may become of a row."""


class Intake:
    """`waiting` are the rows that were predicted, whose outcomes may come."""

    def __init__(
        self, learner: Learner, signature: Signature, waiting: Waiting, limits: Limits, quarantine: Quarantine,
        most_behind: int,
    ) -> None:  # fmt: skip
        """`most_behind`: accepted examples that may wait to be learned."""
        self.waiting = waiting
        self._learner = learner
        self._signature = signature
        self._sources = Sources(limits)
        self._quarantine = quarantine
        self.most_behind = most_behind
        self.last: object = None
        """The last outcome that was taken."""

    def take(self, lessons: Sequence[Lesson], offset: int, behind: int) -> tuple[list[event.Event], list[Taken]]:
        """What goes into the journal at `offset`, of which `behind` are not learned yet; and what each lesson is told
        once it is there.
        """
        first = offset - behind
        events: list[event.Event] = []
        answers = [Taken()] * len(lessons)
        todo = list(groups(lessons))[::-1]
        while todo:
            group = todo.pop()
            try:
                found, fates = self._admit(group.lesson, offset - first)
            except ServableError as error:
                if len(group.places) > 1:  # one of them is to blame, the others are taken
                    todo += [Group(lessons[place], [place], [len(lessons[place].ids)]) for place in group.places[::-1]]
                else:
                    answers[group.places[0]] = Taken(problem=Problem.of(error))
                continue
            if found is not None:
                events.append(found)
            row = 0
            for place, rows in zip(group.places, group.rows, strict=True):
                own, row = fates[row : row + rows], row + rows
                offset += own.count(TAKEN)
                unknown: tuple[str, ...] = ()
                if UNKNOWN in own:
                    unknown = tuple(key for key, fate in zip(lessons[place].ids, own, strict=True) if fate == UNKNOWN)
                answers[place] = Taken(offset, own.count(TAKEN), unknown)
        return events, answers

    def _admit(self, lesson: Lesson, behind: int) -> tuple[event.Event | None, bytearray]:
        """What goes into the journal, and the fate of each row. Raises TooMany and InvalidInput: nothing has changed
        then.
        """
        now, rows = time(), len(lesson.ids)
        if isinstance(lesson, Asked):
            asked = event.Asked(now, lesson.ids, lesson.columns, lesson.answers, self.last)
            self.waiting.keep(asked)  # at once: their outcomes may be among the lessons that came with them
            return asked, bytearray([TURNED_AWAY]) * rows
        if behind >= self.most_behind:
            raise TooMany(f"learning is {behind} examples behind: send them again in a moment", retry_after_s=1.0)
        outcomes = event.array(lesson.outcomes)
        self._learner.check(outcomes)
        wait_s = self._sources.wait_s(lesson.source, rows, now)
        if wait_s:
            raise TooMany(f"{lesson.source!r} teaches faster than it may: send it again", retry_after_s=wait_s)
        if isinstance(lesson, Examples):
            sent = event.Examples(now, lesson.source, lesson.ids, (0,) * rows, lesson.columns, lesson.outcomes)
            return self._fit(sent, event.batch_of(lesson.columns), outcomes, list(range(rows)), rows)
        places, known, given = self.waiting.find(lesson.ids)
        if known is None:
            return None, bytearray([UNKNOWN]) * rows
        outcomes = outcomes[places]
        ids, versions = _picked(lesson.ids, places), _picked(lesson.versions, places)
        told = event.columns(known), event.column("", outcomes)
        return self._fit(event.Examples(now, lesson.source, ids, versions, *told, given), known, outcomes, places, rows)

    def _fit(
        self, sent: event.Examples, batch: Batch, outcomes: Array, places: list[int], rows: int
    ) -> tuple[event.Event | None, bytearray]:
        """The event of the rows that may be learned, and the fates; `places` are the rows' own among `rows`. What may
        not goes into quarantine.
        """
        fates = bytearray([UNKNOWN]) * rows
        bad = unfit(batch, self._signature)
        keep = np.flatnonzero(~bad)
        if len(keep) and self._sources.too_much(sent.source, len(keep)):
            self._turn_away(sent, batch, outcomes, keep, TOO_MUCH)
            keep = keep[:0]
        if bad.any():
            self._turn_away(sent, batch, outcomes, np.flatnonzero(bad), NOT_FINITE)
        kept = keep.tolist()
        if len(kept) == rows:
            fates = bytearray([TAKEN]) * rows
        else:
            for place in places:
                fates[place] = TURNED_AWAY
            for row in kept:
                fates[places[row]] = TAKEN
        if kept:
            self.last = outcomes[kept[-1]].item() if outcomes.dtype != object else outcomes[kept[-1]]
        if len(kept) == batch.rows or not kept:
            return sent if kept else None, fates
        ids, versions = _picked(sent.ids, kept), _picked(sent.versions, kept)
        rest, known = event.columns(_rows(batch, keep)), event.column("", outcomes[keep])
        given = None if sent.given is None else sent.given.picked(kept)
        return event.Examples(sent.time, sent.source, ids, versions, rest, known, given), fates

    def _turn_away(self, sent: event.Examples, batch: Batch, outcomes: Array, places: Array, reason: str) -> None:
        ids = _picked(sent.ids, places.tolist())
        self._quarantine.turned_away(sent.time, sent.source, ids, _rows(batch, places), outcomes[places], reason)


def _rows(batch: Batch, places: Array) -> Batch:
    return Batch({name: values[places] for name, values in batch.columns.items()}, len(places))


def _picked(values: Sequence[T], places: Iterable[int]) -> tuple[T, ...]:
    return tuple(values[place] for place in places)
