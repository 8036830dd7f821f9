"""Guarded: a learner with its guards, itself a Learner: the fold knows no difference, and a replay guards the same.

An example is brought within reach of the inputs' ranges, predicted by the learner and by the champion, judged, learned
and checked. Whatever fails is undone, handed to the quarantine with its reason, and the learner lives on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.model import Learner
from servable.errors import CorruptModel
from servable.online.event import Column
from servable.online.guards.competition import Competition, Said, Tally, Turn
from servable.online.guards.contradiction import told
from servable.online.guards.limits import Limits
from servable.online.guards.losses import Losses, answer_of
from servable.online.guards.marks import Marks, due
from servable.online.guards.probe import Probe
from servable.online.guards.ranges import Ranges
from servable.online.guards.undo import Undo
from servable.online.guards.weights import distance, weights_of
from servable.online.scores import Scores

BYTES_AN_EXAMPLE = 1000
"""Of state that may be written down for each example: a state of a megabyte is looked at once in a thousand."""

OBJECTS_AN_EXAMPLE = 250
"""The same of a learner that does not show its weights: one that is in Python, a state of many small objects."""
ROWS_ASKED = 40
"""Probe rows, at the most, of such a learner."""
ASKED_EVERY = 8
"""Of such a learner, the champion is asked about one example in so many, while nothing speaks against the learner."""

OnUndone = Callable[[int, Batch, Array, str], None]


class _State(msgspec.Struct, array_like=True):
    undo: tuple[bytes, list[tuple[tuple[Column, ...], Column]]]
    probe: tuple[list[tuple[tuple[Column, ...], Column]], tuple[Column, ...] | None]
    ranges: tuple[int, dict[str, bytes]]
    tally: Tally
    champion: bytes
    next_champion: bytes
    age: int
    learned: int
    undone: dict[str, int]
    steps: list[float]
    shifts: list[float]
    moments: list[float]
    last: Any
    scores: bytes
    went_back: bool
    marks: Marks


class Guarded:
    """A Learner. `learner` and `champion` are two of the same make; the second is what the first was when all was
    well.
    """

    concurrent = False

    def __init__(
        self,
        learner: Learner,
        champion: Learner,
        limits: Limits | None = None,
        on_undone: OnUndone | None = None,
        on_losses: Callable[[list[float]], None] | None = None,
    ) -> None:
        """`on_undone` takes what was undone: the number of the example, rows, outcomes, reason; `on_losses` what the
        learner lost by each example.
        """
        self.limits = limits or Limits()
        self.learner = learner
        self.champion = champion
        self.undone: dict[str, int] = {}
        """Examples that were undone, by reason."""
        self.scores = Scores()
        self._on_undone = on_undone
        self._on_losses = on_losses
        self._clips = bool(getattr(learner, "clips", False))
        self._ranges = Ranges(self.limits.reach, getattr(learner, "facts", ()))
        # Of what answers row by row, each row asked about costs as much as one that is served.
        whole = hasattr(learner, "parameters")
        self._probe = Probe(self.limits.probe_rows if whole else min(self.limits.probe_rows, ROWS_ASKED))
        self._asked_every = 1 if whole else ASKED_EVERY
        self._bytes_an_example = BYTES_AN_EXAMPLE if whole else OBJECTS_AN_EXAMPLE
        self._undo = Undo(learner)
        self._competition = Competition(self.limits.return_after, fallback=self.limits.fallback)
        self._losses = Losses()
        self._marks = Marks()
        self._shifts: list[float] = []
        """How far the answers to the probe rows moved between the last looks."""
        self._steps: list[float] = []
        """How far the weights moved between the last looks."""
        self._weights = weights_of(learner)
        self._went_back = False
        self._learned = 0
        self._age = 0
        self._champion = self._undo.base
        self._next_champion = b""
        """What the learner was when the champion took over; empty before it has learned."""
        champion.restore(self._champion)

    # ---- a Learner

    @property
    def answering(self) -> Learner:
        """Who answers now."""
        return self.champion if self._competition.tally.aside else self.learner

    def predict(self, batch: Batch) -> Batch:
        return self.answering.predict(batch)

    def check(self, outcomes: Array) -> None:
        self.learner.check(outcomes)

    def learn(self, batch: Batch, outcomes: Array) -> None:
        """Judge, learn, check."""
        if not self._clips:
            batch = self._ranges.take_in(batch)
        marks = self._marks.of(batch)
        self._judge(batch, outcomes, marks)
        number = self._learned
        self._learned += batch.rows
        self._age += batch.rows
        if not self._one(number, batch, outcomes, alone=batch.rows == 1):
            for row in range(batch.rows):  # one of them is to blame, the others are learned
                self._one(number + row, batch.slice(row, row + 1), outcomes[row : row + 1], alone=True)
        # In steps of two: what pickle writes of one state differs by some bytes from process to process.
        large = len(self._undo.base) // self._bytes_an_example
        if due(marks, self._undo.rows, max(self.limits.check_every, 1 << large.bit_length())):
            self._look()

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(
            _State(
                self._undo.state(), self._probe.state(), self._ranges.state(), self._competition.tally,
                self._champion, self._next_champion, self._age, self._learned, self.undone, self._steps, self._shifts,
                self._losses.moments, self._losses.last, self.scores.snapshot(), self._went_back, self._marks,
            )
        )  # fmt: skip

    def restore(self, state: bytes) -> None:
        try:
            held = msgspec.msgpack.decode(state, type=_State)
        except msgspec.DecodeError as error:
            raise CorruptModel(f"the state of the guards is damaged: {error}") from error
        self.champion.restore(held.champion)
        self._probe.take(held.probe)
        self.learner.restore(held.undo[0])
        self._probe.forget(self.learner)
        self._weights = weights_of(self.learner)
        self._undo.take(held.undo)
        self._ranges.take(held.ranges)
        self._competition.tally = held.tally
        self._champion, self._next_champion = held.champion, held.next_champion
        self._age, self._learned, self.undone = held.age, held.learned, held.undone
        self._steps, self._shifts = held.steps, held.shifts
        self._losses.moments, self._losses.last = held.moments, held.last
        self.scores.restore(held.scores)
        self._went_back, self._marks = held.went_back, held.marks

    def close(self) -> None:
        self.learner.close()
        self.champion.close()

    # ---- what is told

    @property
    def tally(self) -> Tally:
        """How the competition stands."""
        return self._competition.tally

    @property
    def last(self) -> object:
        """The last outcome, None before there is one."""
        return self._losses.last

    @property
    def clipped(self) -> int:
        """Numbers that were out of reach."""
        return self._ranges.clipped

    # ---- one example after another

    def _judge(self, batch: Batch, outcomes: Array, marks: list[int]) -> None:
        mine = answer = answer_of(self.learner, batch)
        learner = self._said(mine, outcomes)
        losses = served = [one.loss for one in learner]
        champion: Sequence[Said | None]
        if self._competition.rests and self._asked_every > 1:
            champion = self._sampled(batch, outcomes, marks)
        else:
            theirs = answer_of(self.champion, batch)
            champion = said = self._said(theirs, outcomes)
            if self._competition.tally.aside:
                answer, served = theirs, [one.loss for one in said]
        no_change = self._losses.no_change(outcomes, first=losses[0])
        self.scores.see(answer, outcomes, served, losses, no_change)
        if self._on_losses is not None:
            self._on_losses(losses)
        turns = {self._competition.see(*one) for one in zip(learner, champion, outcomes.tolist(), strict=True)}
        if Turn.AGAIN in turns:
            self._begin_again()
        elif Turn.BACK in turns:
            self._champion = self._next_champion = self._undo.base
            self.champion.restore(self._champion)
            self._age = 0

    def _said(self, answer: Batch | None, outcomes: Array) -> list[Said]:
        return list(map(Said, self._losses.of(answer, outcomes), told(answer, len(outcomes))))

    def _sampled(self, batch: Batch, outcomes: Array, marks: list[int]) -> list[Said | None]:
        """What the champion says to the rows that it is asked about, by their marks."""
        said: list[Said | None] = [None] * batch.rows
        places = [row for row, mark in enumerate(marks) if mark % self._asked_every == 0]
        if places:
            asked = Batch({name: values[places] for name, values in batch.columns.items()}, len(places))
            answer = answer_of(self.champion, asked)
            for place, one in zip(places, self._said(answer, outcomes[places]), strict=True):
                said[place] = one
        return said

    def _begin_again(self) -> None:
        self.learner.restore(self._champion)
        self._undo = Undo(self.learner)
        self._weights = weights_of(self.learner)
        self._probe.forget(self.learner)

    def _one(self, number: int, batch: Batch, outcomes: Array, *, alone: bool) -> bool:
        """Learn; whether that is settled: what fails `alone` goes into quarantine. Only what was learned may become a
        probe row.
        """
        reason = self._undo.learn(batch, outcomes)
        if reason is None:
            self._probe.see(batch, outcomes)
        elif alone:
            self._tell(number, batch, outcomes, reason)
        return reason is None or alone

    def _look(self) -> None:
        """Whether what was learned since the last look may stay; a new champion, if it is time for one."""
        moved = self._probe.look(self.learner)
        weights = weights_of(self.learner)
        step = distance(self._weights, weights)
        usual = median(self._steps) if len(self._steps) >= 5 else 0.0
        # One window in a row: what comes again after it is no accident, and the competition judges it.
        may = not self._went_back
        self._went_back = False
        # Of moves that are alike the next is longer than all twenty once in 21 looks, and by as much more rarely.
        unsteady = max(self._shifts) if len(self._shifts) >= 5 else np.inf
        if not np.isfinite(moved) or (may and moved > self.limits.most_shift + unsteady):
            self._take_back("the answers to the probe rows moved too far")
            return
        if may and usual and step > self.limits.most_step * usual:
            self._take_back("the weights moved too far")
            return
        if not self._undo.keep(self.limits.most_bytes):
            self._take_back("the model outgrew its limit")
            return
        self._steps = [*self._steps, step][-20:]
        if self._probe.settled:
            self._shifts = [*self._shifts, moved][-20:]
        self._weights = weights
        if self._age >= self.limits.champion_every and self._competition.calm:
            self._renew()

    def _renew(self) -> None:
        """What the learner was when the last champion took over is the next, and judged at once by what came since."""
        older = bool(self._next_champion)
        self._champion, self._next_champion = self._next_champion or self._undo.base, self._undo.base
        self.champion.restore(self._champion)
        batch, outcomes = self._probe.exam()
        said = self._said(answer_of(self.champion, batch), outcomes) if older else []
        self._competition.renewed(zip(said, outcomes.tolist(), strict=False))
        self._probe.settle(self.learner)
        self._age = 0

    def _take_back(self, reason: str) -> None:
        self._went_back = True
        number = self._learned - self._undo.rows
        for batch, outcomes in self._undo.take_back():
            self._tell(number, batch, outcomes, reason)
            number += batch.rows
        self._probe.forget(self.learner)

    def _tell(self, number: int, batch: Batch, outcomes: Array, reason: str) -> None:
        self.undone[reason] = self.undone.get(reason, 0) + batch.rows
        if self._on_undone is not None:
            self._on_undone(number, batch, outcomes, reason)
