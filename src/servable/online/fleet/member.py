"""Member: the work of a learner's process beside its predictions, on one of the machines that share it.

It follows until its keeper says that it is to learn; then it teaches as a machine alone would, with a journal that all
share; and follows again when it must not, or cannot, go on. What doors bring meanwhile goes to the keeper.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from math import ceil
from time import monotonic
from typing import Final

import orjson

from servable.domain.batch import Batch
from servable.domain.model import Learner
from servable.domain.problem import Problem
from servable.engine.process.serve import Door
from servable.errors import NotReady, ServableError
from servable.online import messages
from servable.online.fleet import said
from servable.online.fleet.following import Following
from servable.online.fleet.last import Last
from servable.online.fleet.shared import Link, SharedJournal, SharedSnapshots
from servable.online.teaching import Taught, Teaching
from servable.wire.frames import UNREADABLE, BadFrame

PATIENCE_S: Final = 8.0
"""With the database; less than a door waits."""
ANSWERED_S: Final = 25.0
"""By then whoever brought lessons for another machine has an answer. More than the keeper waits (`errands.WAIT_S`), as
it may itself wait for a database that says nothing.
"""
UNKNOWN: Final = (
    "the database of the machines that share this learner does not answer, and what was sent may be learned yet: "
    "send it again with the same id"
)

Teach = Callable[[SharedJournal, SharedSnapshots], Teaching]

logger = logging.getLogger("servable.online")


class Member:
    """Beside the calls of a process, and the Model that answers them."""

    concurrent = False

    def __init__(self, make: Callable[[], Learner], teach: Teach, last: Last, *, states: bool) -> None:
        """`make` gives the learner as it was packed; `teach` what learns, from a journal; `last` holds the newest state
        that was known here before; `states`: doors answer themselves, and are sent them.
        """
        self._make = make
        self._teach = teach
        self._states = states
        self._last = last
        self._patient_until: float | None = monotonic() + PATIENCE_S
        self._following = Following(make, states=states)
        self._teaching: tuple[Teaching, SharedJournal] | None = None
        self._link: Link | None = None
        self._watching: list[Door] = []
        self._asked: dict[int, tuple[Door, int, int, float]] = {}
        """By our number: whose lessons went to the keeper, their number of them, how many they are, and until when they
        wait. The oldest are first.
        """
        self._number = 0

    # ---- the Model

    def predict(self, batch: Batch) -> Batch:
        return self._following.predict(batch) if self._teaching is None else Taught(self._teaching[0]).predict(batch)

    def close(self) -> None:
        if self._teaching is not None:
            self._teaching[0].close()

    # ---- beside it

    def hear(self, door: Door, kind: int, number: int, body: memoryview) -> bool:
        """A frame; false if it is none of ours. Raises BadFrame."""
        if kind == said.KEEP:
            self._step_down()
            self._link = Link(door)
        elif self._link is not None and door is self._link.door:
            return self._heed(self._link, kind, number, body)
        elif kind == messages.WATCH:
            self._watching.append(door)
            self._show(door)
        elif self._teaching is not None:
            return self._teaching[0].hear(door, kind, number, body)
        elif kind == messages.ASK:
            door.send([messages.frame(messages.TOLD, number, body=orjson.dumps(self._following.report()))])
        elif kind == messages.TEACH:
            self._pass_on(door, number, body)
        else:
            return False
        return True

    def forget(self, door: Door) -> None:
        """It is gone."""
        if self._link is not None and door is self._link.door:
            self._link = None
            self._step_down()
            self._asked_nobody()
            return
        self._watching = [other for other in self._watching if other is not door]
        self._asked = {own: theirs for own, theirs in self._asked.items() if theirs[0] is not door}
        self._following.forget(door)
        if self._teaching is not None:
            self._teaching[0].forget(door)

    def turn(self) -> None:
        """After each round of frames, and when `pause_ms` is over."""
        while self._link is not None and self._link.later:
            self._heed(self._link, *self._link.later.popleft())
        while self._answer_due_ms() == 0:
            self._give_up(next(iter(self._asked)), UNKNOWN)
        if self._teaching is not None:
            teaching, journal = self._teaching
            teaching.turn()
            if journal.lost is not None:
                self._step_down()
                self._tell_keeper(journal.lost)
            elif self._last.due_ms(teaching.fold.offset) == 0:
                self._last.keep(self._state(teaching))
        elif self._patient_s() == 0:
            self._remember()

    def pause_ms(self) -> int | None:
        """How long there is nothing to do, unless a frame comes; None: for ever."""
        if self._link is not None and self._link.later:
            return 0
        if self._teaching is not None:
            teaching = self._teaching[0]
            dues = [teaching.pause_ms(), self._last.due_ms(teaching.fold.offset)]
        else:
            patient_s = self._patient_s()
            dues = [None if patient_s is None else int(patient_s * 1000) + 1]
        return min((due for due in [*dues, self._answer_due_ms()] if due is not None), default=None)

    def _answer_due_ms(self) -> int | None:
        """In how long the oldest lessons that went to the keeper are given up; None: there are none."""
        for _, _, _, until in self._asked.values():
            return max(ceil((until - monotonic()) * 1000), 0)
        return None

    def _patient_s(self) -> float | None:
        """How long it still waits for a state from elsewhere, before its own last one answers; None: it does not."""
        if self._following.knows or self._patient_until is None:
            return None
        return max(self._patient_until - monotonic(), 0.0)

    def _remember(self) -> None:
        self._patient_until = None
        found = self._last.read()
        if found is not None:
            logger.warning("what other machines have learned is not known: the last state that was, answers")
            self._following.follow(found.offset, found.learned, found.state)

    # ---- what the keeper says

    def _heed(self, link: Link, kind: int, number: int, body: memoryview) -> bool:
        if kind == said.LEAD:
            self._lead(link, said.read(body, said.Lead))
        elif kind == said.YIELD:
            self._step_down()
        elif kind == said.END:
            if self._teaching is not None:
                self._teaching[0].accept()
                self._teaching[0].close()  # which keeps its state
            self._step_down()
            self._tell_keeper(NotReady("this machine is being stopped"))
        elif kind == said.FOLLOW:
            found = said.read(body, said.State)
            if self._teaching is None:
                self._following.follow(found.offset, found.learned, found.state)
                if self._last.due_ms(found.offset) == 0:
                    self._last.keep(found)
        elif kind == said.REPORT:
            if self._teaching is None:
                self._following.told(orjson.loads(body))
        elif kind == said.ANSWERED:
            self._answer(number, bytes(body))
        elif kind == said.DONE:  # of what was given up
            pass
        elif self._teaching is not None:
            return self._teaching[0].hear(link.door, kind, number, body)
        elif kind not in {messages.TEACH, messages.WATCH, messages.ASK}:
            raise BadFrame(f"kind {kind}")
        return True

    def _lead(self, link: Link, lead: said.Lead) -> None:
        journal = SharedJournal(link, lead.offset)
        try:
            teaching = self._teach(journal, SharedSnapshots(link, lead.snapshot))
        except ServableError as error:
            self._tell_keeper(error)
            return
        self._teaching = teaching, journal
        for door in self._watching:
            self._following.forget(door)
            self._show(door)
        self._tell_keeper(None)

    def _step_down(self) -> None:
        """Follow, from where we are. Who just brought lessons is told what becomes of them: there is no next turn."""
        if self._teaching is None:
            return
        self._teaching[0].accept()
        teaching, self._teaching = self._teaching[0], None
        state = self._state(teaching)
        self._following = Following(self._make, states=self._states)
        self._following.follow(state.offset, state.learned, state.state)
        for door in self._watching:
            self._following.watch(door)

    def _state(self, teaching: Teaching) -> said.State:
        return said.State(teaching.fold.offset, teaching.fold.learned, teaching.guarded.answering.snapshot())

    def _show(self, door: Door) -> None:
        if self._teaching is None:
            self._following.watch(door)
        else:
            self._teaching[0].hear(door, messages.WATCH, 0, memoryview(b""))

    def _tell_keeper(self, error: ServableError | None) -> None:
        if self._link is not None:
            self._link.say(said.STANDS, 0, said.encode(said.Done(problem=None if error is None else Problem.of(error))))

    # ---- lessons of our doors, while another learns

    def _pass_on(self, door: Door, number: int, body: memoryview) -> None:
        try:
            lessons = len(messages.lessons(body))
        except UNREADABLE as error:
            raise BadFrame(f"lessons that cannot be read: {error}") from error
        self._number += 1
        self._asked[self._number] = door, number, lessons, monotonic() + ANSWERED_S
        if self._link is None:
            self._asked_nobody()
        else:
            self._link.say(messages.TEACH, self._number, bytes(body))

    def _asked_nobody(self) -> None:
        """There is no keeper: whoever waits for it is told."""
        for own in list(self._asked):
            self._give_up(own, "machines share this learner, and the link to them is down: send it again")

    def _give_up(self, own: int, why: str) -> None:
        problem = Problem.of(NotReady(why))
        self._answer(own, messages.encode([messages.Taken(problem=problem)] * self._asked[own][2]))

    def _answer(self, number: int, taken: bytes) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            with contextlib.suppress(OSError):  # it is gone, which its own socket will tell
                asked[0].send([messages.frame(messages.TAUGHT, asked[1], taken)])
