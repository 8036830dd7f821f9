"""Teaching: what it takes up, keeps and tells, without doors and processes."""

from __future__ import annotations

import itertools
from pathlib import Path
from time import thread_time
from typing import Any

import msgspec
import numpy as np
import orjson

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.online import event, messages
from servable.online.fold import State
from servable.online.habits import Habits
from servable.online.journal import Journal, read
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.labels import Labels
from servable.online.policy import SURE
from servable.online.snapshots import LAYOUT, Snapshot, Snapshots
from servable.online.teaching import SLICE_S, Teaching
from servable.wire.frames import HEADER

SIGNATURE = Signature((Field("x", "FP64", (-1, 2)),), Labels([0, 1]).fields())
HABITS = Habits(snapshot_every=20)


class Door:
    """Keeps what it was sent, by kind."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes, bytes]] = []

    def send(self, parts: list[bytes | memoryview]) -> None:
        data = b"".join(parts)
        while data:
            kind, head, body, _, _ = HEADER.unpack_from(data)
            whole = HEADER.size + head + body
            self.heard.append((kind, data[HEADER.size : HEADER.size + head], data[HEADER.size + head : whole]))
            data = data[whole:]

    def of(self, kind: int) -> list[tuple[bytes, bytes]]:
        return [(head, body) for own, head, body in self.heard if own == kind]


def teaching(folder: Path, habits: Habits = HABITS) -> Teaching:
    return Teaching(lambda: Ftrl(SIGNATURE, [0, 1]), SIGNATURE, folder, {"numpy": "1"}, habits, states=True)


def columns(number: int, rows: int) -> tuple[tuple[event.Column, ...], event.Column]:
    x = np.random.default_rng(number).normal(size=(rows, 2))
    return event.columns(Batch({"x": x})), event.column("", (x[:, 0] > 0).astype(np.int64))


def examples(number: int, rows: int = 10) -> event.Examples:
    ids = tuple(f"{number}/{row}" for row in range(rows))
    return event.Examples(0.0, "", ids, (0,) * rows, *columns(number, rows))


def lesson(number: int, rows: int = 10) -> messages.Examples:
    return messages.Examples("ward", tuple(f"{number}/{row}" for row in range(rows)), *columns(number, rows))


def test_a_long_replay_keeps_how_far_it_has_come(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append([examples(number) for number in range(100)])
    journal.close()
    first = teaching(tmp_path)
    assert first.report()["snapshot"] > 0
    state = first.fold.state()
    first.close()
    again = teaching(tmp_path)
    assert again.fold.state() == state
    again.close()


def test_a_snapshot_that_another_version_made_is_made_up_for_by_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append([examples(number) for number in range(10)])
    journal.close()
    first = teaching(tmp_path)
    state = first.fold.state()
    first.close()
    snapshots = Snapshots(tmp_path / "snapshots")
    of_guards = msgspec.msgpack.encode(["what they held then"])
    for offset in snapshots.offsets():
        held = snapshots.get(offset).state
        old = State(held.offset, held.learned, held.seen, of_guards, held.delayed)
        snapshots.put(Snapshot(0.0, {"numpy": "1"}, old, LAYOUT - 1))
    assert snapshots.offsets()
    again = teaching(tmp_path)
    assert again.fold.state() == state
    again.close()


class Slow(Ftrl):
    """Works half a slice for each row."""

    def learn(self, batch: Batch, outcomes: np.ndarray[Any, Any]) -> None:
        until = thread_time() + batch.rows * SLICE_S / 2
        while thread_time() < until:
            super().predict(batch)
        super().learn(batch, outcomes)


def test_of_a_slow_learner_what_comes_is_learned_in_pieces_and_again_in_the_same(tmp_path: Path) -> None:
    def begun() -> Teaching:
        return Teaching(lambda: Slow(SIGNATURE, [0, 1]), SIGNATURE, tmp_path, {}, HABITS, states=False)

    work, door = begun(), Door()
    for number in range(SURE + 1):
        work.hear(door, messages.TEACH, number, memoryview(messages.encode([lesson(number, rows=5)])))
        work.turn()
        while work.pause_ms() == 0:
            work.turn()
    told = [answer for head, _ in door.of(messages.TAUGHT) for answer in messages.taken(head)]
    assert [answer.offset for answer in told] == [5, 10, 15, 20, 25]
    rows = [entry.event.rows for entry in read(tmp_path / "journal")]
    assert rows[:SURE] == [1] * SURE, "nothing was known yet"
    assert (sum(rows), max(rows)) in {(25, 2), (25, 1)}
    state = work.fold.state()
    work.close()
    for snapshot in (tmp_path / "snapshots").iterdir():
        snapshot.unlink()
    again = begun()
    assert again.fold.state() == state
    again.close()


def test_who_watches_is_told_how_learning_goes_and_every_state(tmp_path: Path) -> None:
    work, door = teaching(tmp_path, Habits(publish_s=0.0)), Door()
    work.hear(door, messages.WATCH, 0, memoryview(b""))
    assert orjson.loads(door.of(messages.STANDING)[0][1])["accepted"] == 0
    for number in range(3):
        work.hear(door, messages.TEACH, number, memoryview(messages.encode([lesson(number), lesson(number + 10)])))
        work.turn()
    while work.report()["published"] < 60:  # publishing takes no more than its share of the time
        work.turn()
    told = [messages.taken(head) for head, _ in door.of(messages.TAUGHT)]
    assert [answer.offset for answers in told for answer in answers] == [10, 20, 30, 40, 50, 60]
    last, state = door.of(messages.LEARNED)[-1]
    assert messages.progress(last).offset == 60
    learner = Ftrl(SIGNATURE, [0, 1])
    learner.restore(state)
    np.testing.assert_array_equal(learner.parameters(), work.guarded.learner.parameters())  # type: ignore[attr-defined] # Ftrl's
    report = work.report()
    assert (report["accepted"], report["offset"], report["published"], report["paused"]) == (60, 60, 60, None)
    assert work.pause_ms() is not None, "there is a report to be told within a second"
    work.close()


def test_what_is_behind_is_learned_before_it_rests(tmp_path: Path) -> None:
    work, door = teaching(tmp_path), Door()
    frame = messages.encode([lesson(number, rows=64) for number in range(40)])
    work.hear(door, messages.TEACH, 1, memoryview(frame))
    work.turn()
    while work.pause_ms() == 0:
        work.turn()
    assert work.report()["behind"] == 0
    assert work.report()["learned"] == 40 * 64
    work.close()


def test_a_state_is_published_after_so_many_examples_whatever_the_clock_says(tmp_path: Path) -> None:
    work, door = teaching(tmp_path, Habits(publish_s=3600.0, publish_every=20)), Door()
    work.hear(door, messages.WATCH, 0, memoryview(b""))
    for number in range(10):
        work.hear(door, messages.TEACH, number, memoryview(messages.encode([lesson(number, rows=5)])))
        work.turn()
    # The first is published at once: nobody has seen any yet.
    told = [messages.progress(head).offset for head, _ in door.of(messages.LEARNED)]
    gaps = [after - before for before, after in itertools.pairwise(told)]
    assert told[-1] >= 40
    assert min(gaps[1:]) >= 20
    assert len(told) <= 4
    work.close()
