"""Teaching: the work of a learner's process beside its predictions. One writer: it alone appends, and it alone learns.

What all doors brought in one round goes into the journal with one write and one sync; then they are told; then it is
learned, a slice at a time, so that predictions that are answered here have their turn; then the new state is published.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from time import monotonic, time
from typing import Any, Final, Protocol

import orjson

from servable.domain.batch import Batch
from servable.domain.model import Learner
from servable.domain.problem import Problem
from servable.domain.signature import Signature
from servable.errors import ServableError
from servable.online import event, messages
from servable.online.bulletin import Bulletin
from servable.online.drift import Drift
from servable.online.fold import Fold
from servable.online.guards.guarded import Guarded
from servable.online.guards.quarantine import Quarantine
from servable.online.guards.standing import standing
from servable.online.habits import Habits
from servable.online.intake import Intake
from servable.online.journal import Entry, Journal
from servable.online.pace import Pace
from servable.online.snapshots import LAYOUT, Snapshot, Snapshots
from servable.online.truth import Kept, Truth
from servable.online.waiting import Waiting
from servable.wire.frames import UNREADABLE, BadFrame

SLICE_S: Final = 0.01
"""The longest that predictions wait for a slice of learning, but for one example that takes longer."""

logger = logging.getLogger("servable.online")


class Door(Protocol):
    """A connection to a door."""

    def send(self, parts: list[bytes | memoryview]) -> None: ...


class Teaching:
    """`hear` takes a frame, `turn` does what is due, `pause_ms` tells when it wants to be called again."""

    def __init__(
        self,
        make: Callable[[], Learner],
        signature: Signature,
        folder: Path,
        libraries: dict[str, str],
        habits: Habits,
        *,
        states: bool,
        shared: tuple[Truth, Kept] | None = None,
    ) -> None:
        """Takes up the newest snapshot in `folder`, and the journal from there on; or those that machines share. `make`
        gives the learner as it was packed; `states`: doors answer themselves, and are sent them.
        """
        self.quarantine = Quarantine(folder / "quarantine.jsonl")
        self.drift = Drift()
        self.guarded = Guarded(make(), make(), habits.guards, self.quarantine.undone, self.drift.see)
        self.fold = Fold(self.guarded)
        self._libraries = libraries
        self._habits = habits
        self._states = states
        self._journal, self._snapshots = shared or (Journal(folder / "journal"), Snapshots(folder / "snapshots"))
        self._pace = Pace(SLICE_S, careful=not states)
        self._waiting = Waiting(habits.keep_inputs_s)
        self._intake = Intake(
            self.guarded, signature, self._waiting, habits.guards, self.quarantine, habits.most_behind
        )
        self._heard: list[tuple[Door, int, list[messages.Lesson]]] = []
        self._behind: deque[Entry] = deque()
        self._watching: list[Door] = []
        self._published = self._snapped = self._tried = -1
        self._publish_at = self._snapshot_at = 0.0
        self._publish_after = self._snapshot_after = 0.0
        """Not before: at most a tenth of the time goes into each, of publishing a twentieth: doors work at it too."""
        self._paused: str | None = None
        self._take_up()
        self._intake.last = self.guarded.last
        self._bulletin = Bulletin(self.report, self._mark)

    def _take_up(self) -> None:
        newest = self._snapshots.newest(self._libraries)
        if newest is not None:
            self.fold.take(newest.state)
            self._snapped = self._tried = newest.state.offset
        began, first = monotonic(), self.fold.offset
        # Rows that wait for their outcomes stand before the snapshot too.
        for entry in self._journal.read(first, time() - self._habits.keep_inputs_s):
            if isinstance(entry.event, event.Asked):
                self._waiting.keep(entry.event)
            elif entry.offset >= first:
                self._pace.apply(self.fold, entry)
                if self._many():  # a long way: whoever is killed on it goes on from here
                    self._snap(monotonic())
        self._waiting.forget(time())
        replayed, took_s = self.fold.offset - first, monotonic() - began
        logger.info("took up %d examples, %d of them from the journal in %.1f s", self.fold.offset, replayed, took_s)

    # ---- doors

    def hear(self, door: Door, kind: int, number: int, body: memoryview) -> bool:
        """A frame; false if it is none of ours. Raises BadFrame."""
        if kind == messages.WATCH:
            self._watching.append(door)
            door.send([self._progress(), self._standing(self.report())])
        elif kind == messages.TEACH:
            try:
                self._heard.append((door, number, messages.lessons(body)))
            except UNREADABLE as error:
                raise BadFrame(f"lessons that cannot be read: {error}") from error
        elif kind == messages.ASK:
            door.send([messages.frame(messages.TOLD, number, body=orjson.dumps(self.report()))])
        else:
            return False
        return True

    def report(self) -> dict[str, Any]:
        """How learning goes, JSON-ready."""
        fold = self.fold
        return {
            "offset": fold.offset,
            "learned": fold.learned,
            "accepted": self._journal.offset,
            "behind": self._journal.offset - fold.offset,
            "published": max(self._published, 0),
            "waiting": len(self._waiting),
            "snapshot": max(self._snapped, 0),
            "paused": self._paused,
            "turned_away": dict(self.quarantine.counts),
            **standing(self.guarded),
            "given": fold.delayed.report(),
            "drift": self.drift.report(),
        }

    def _mark(self) -> object:
        """What changes with what is reported."""
        return self._journal.offset, self.fold.offset, self._published, self.quarantine.counts.total(), self._paused

    def forget(self, door: Door) -> None:
        """It is gone."""
        self._watching = [other for other in self._watching if other is not door]
        self._heard = [item for item in self._heard if item[0] is not door]

    # ---- rounds

    def turn(self) -> None:
        """After each round of frames, and when `pause_ms` is over."""
        self.accept()
        now = monotonic()
        until = now + SLICE_S
        while self._behind:
            self._pace.apply(self.fold, self._behind.popleft())
            if monotonic() >= until:
                break
        self._show(monotonic())

    def pause_ms(self) -> int | None:
        """How long there is nothing to do, unless a frame comes; None: for ever."""
        if self._behind:
            return 0
        offset = self.fold.offset
        dues = (
            (offset > max(self._published, 0), self._publish_at),
            (offset > max(self._snapped, 0), self._snapshot_at),
            (self._bulletin.fresh(), self._bulletin.due_at),
        )
        due = min((at for is_due, at in dues if is_due), default=None)
        return None if due is None else max(int((due - monotonic()) * 1000) + 1, 0)

    def accept(self) -> None:
        """All that was heard, into the journal at once; then the answers."""
        if not self._heard:
            return
        heard, self._heard = self._heard, []
        lessons = [lesson for _, _, told in heard for lesson in told]
        offset, habits = self._journal.offset, self._habits
        self._intake.most_behind = self._pace.room(habits.most_behind_s, habits.most_behind)
        events, answers = self._intake.take(lessons, offset, offset - self.fold.offset)
        try:
            self._append(self._pace.cut(events))
        except ServableError as error:
            self._paused = error.message
            answers = [messages.Taken(problem=Problem.of(error))] * len(lessons)
        told = iter(answers)
        for door, number, own in heard:
            self._tell(door, messages.frame(messages.TAUGHT, number, messages.encode(list(islice(told, len(own))))))

    def _append(self, events: list[event.Event]) -> None:
        if not events:
            return
        offset = self._journal.append(events)
        self._paused = None
        for one in events:
            if one.rows:
                self._behind.append(Entry(offset, one))
            offset += one.rows

    # ---- what is told and kept

    def _show(self, now: float) -> None:
        """Publish, keep and tell what is due."""
        offset, habits = self.fold.offset, self._habits
        every = now >= self._publish_after and offset - self._published >= habits.publish_every
        if offset > self._published and (every or now >= self._publish_at):
            self._publish(now)
        if offset > self._snapped and (now >= self._snapshot_at or self._many()):
            self._snap(now)
        report = self._bulletin.due(now)
        if report is not None:
            for door in self._watching:
                self._tell(door, self._standing(report))

    def _publish(self, now: float) -> None:
        frame = self._progress()
        for door in self._watching:
            self._tell(door, frame)
        self._publish_after = now + 20 * (monotonic() - now)
        self._publish_at = max(now + self._habits.publish_s, self._publish_after)
        self._published = self.fold.offset

    def _many(self) -> bool:
        """Whether so much was learned since the last snapshot that it is time for one."""
        return self.fold.offset - self._tried >= self._habits.snapshot_every and monotonic() >= self._snapshot_after

    def _snap(self, now: float) -> None:
        self._tried = self.fold.offset
        try:
            self._snapshots.put(Snapshot(time(), self._libraries, self.fold.state(), LAYOUT))
        except ServableError as error:
            logger.warning("%s: a restart will take longer", error.message)
        else:
            self._snapped = self._tried
        self._snapshot_after = now + 10 * (monotonic() - now)
        self._snapshot_at = max(now + self._habits.snapshot_s, self._snapshot_after)

    def _progress(self) -> bytes:
        told = messages.encode(messages.Progress(self.fold.offset, self.fold.learned))
        state = self.guarded.answering.snapshot() if self._states else b""
        return messages.frame(messages.LEARNED, 0, told, state)

    def _standing(self, report: dict[str, Any]) -> bytes:
        return messages.frame(messages.STANDING, 0, body=orjson.dumps(report))

    def _tell(self, door: Door, frame: bytes) -> None:
        with contextlib.suppress(OSError):  # it is gone, which its own socket will tell
            door.send([frame])

    def close(self) -> None:
        """Keep the state, and let another write. What is not learned yet is in the journal."""
        if self.fold.offset > self._snapped:
            self._snap(monotonic())
        self._journal.close()


class Taught:
    """The learner as a Model that answers with the offset it was computed at."""

    concurrent = False

    def __init__(self, teaching: Teaching) -> None:
        self._teaching = teaching

    def predict(self, batch: Batch) -> Batch:
        fold = self._teaching.fold
        answer = fold.learner.predict(batch)
        return Batch(answer.columns, answer.rows, {"offset": fold.offset})

    def close(self) -> None:
        self._teaching.close()
