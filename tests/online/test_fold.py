"""The fold: any state can be had again from the journal; each example counts once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import CorruptModel, IncompatibleModel, NotFound
from servable.online.event import Examples, column, columns
from servable.online.fold import Fold, State
from servable.online.guards import guarded
from servable.online.guards.competition import Level, Tally
from servable.online.guards.contradiction import Contradiction
from servable.online.guards.marks import Marks
from servable.online.journal import Entry, Journal, read
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.labels import Labels
from servable.online.snapshots import LAYOUT, Snapshot, Snapshots

CANCER = load_breast_cancer(return_X_y=True)
SIGNATURE = Signature((Field("x", "FP64", (-1, 30)),), Labels([0, 1]).fields())


def learner(alpha: float = 0.1) -> Ftrl:
    return Ftrl(SIGNATURE, [0, 1], alpha=alpha)


def events(start: int, stop: int, source: str = "clinic", version: int = 0) -> Examples:
    rows = stop - start
    x, y = CANCER[0][start:stop], CANCER[1][start:stop]
    ids = tuple(map(str, range(start, stop)))
    return Examples(float(start), source, ids, (version,) * rows, columns(Batch({"x": x})), column("", y))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    journal = Journal(tmp_path)
    for start in range(0, 560, 7):
        journal.append([events(start, start + 7)])
    journal.close()
    return tmp_path


def folded(folder: Path, start: int = 0, fold: Fold | None = None) -> Fold:
    fold = fold or Fold(learner())
    fold.replay(read(folder, start))
    return fold


def test_replay_gives_the_same_state_to_the_bit(folder: Path) -> None:
    once, again = folded(folder), folded(folder)
    assert once.state() == again.state()
    assert (once.offset, once.learned) == (560, 560)


def test_a_snapshot_and_the_rest_of_the_journal_give_the_same_state(folder: Path, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    fold = Fold(learner())
    for entry in read(folder):
        fold.apply(entry)
        if fold.offset % 70 == 0:
            snapshots.put(Snapshot(float(fold.offset), {"numpy": np.__version__}, fold.state(), LAYOUT))
    for offset in snapshots.offsets():
        restarted = Fold(learner())
        restarted.take(snapshots.get(offset).state)
        assert folded(folder, offset, restarted).state() == fold.state()


def test_each_example_counts_once_and_a_correction_again(folder: Path) -> None:
    plain = folded(folder).state()
    journal = Journal(folder)
    journal.append([events(100, 140), events(550, 560)])
    repeated = folded(folder)
    assert (repeated.offset, repeated.learned) == (610, 560)
    assert repeated.state().learner == plain.learner
    journal.append([events(555, 569, version=1)])
    journal.close()
    corrected = folded(folder)
    assert corrected.learned == 574
    assert corrected.state().learner != plain.learner


def test_a_part_of_an_event_may_be_new(folder: Path) -> None:
    journal = Journal(folder)
    journal.append([events(550, 569)])
    journal.close()
    other = Fold(learner())
    other.replay(read(folder))
    assert other.learned == 569


def test_a_bad_source_can_be_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "with")
    journal.append([events(0, 100), events(100, 200, "bad"), events(200, 300)])
    journal.close()
    fold = Fold(learner(), without=["bad"])
    fold.replay(read(tmp_path / "with"))
    clean = Fold(learner())
    clean.learner.learn(Batch({"x": CANCER[0][:100]}), CANCER[1][:100])
    clean.learner.learn(Batch({"x": CANCER[0][200:300]}), CANCER[1][200:300])
    assert fold.learner.snapshot() == clean.learner.snapshot()
    assert (fold.offset, fold.learned) == (300, 200)


def test_an_entry_out_of_its_turn_is_refused(folder: Path) -> None:
    with pytest.raises(CorruptModel, match="goes on at example 7, expected was 0"):
        Fold(learner()).replay(read(folder, 7))


def test_snapshots_that_are_damaged_or_foreign(folder: Path, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    fold = folded(folder)
    for offset in (1, 2, 3):
        state = fold.state().__class__(offset, 0, {}, fold.state().learner)
        snapshots.put(Snapshot(0.0, {"numpy": "1"}, state, LAYOUT))
    path = snapshots.folder / f"{3:020d}.state"
    data = path.read_bytes()
    for place in range(0, len(data), 97):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        newest = snapshots.newest({"numpy": "1"})
        assert newest is not None
        assert newest.state.offset == 2
    with pytest.raises(IncompatibleModel, match="made with"):
        snapshots.newest({"numpy": "2"})
    assert snapshots.newest({"numpy": "2"}, exact=False) is None
    assert snapshots.newest({"numpy": "1"}, before=0) is None
    with pytest.raises(NotFound, match="the last ones are 1, 2, 3"):
        snapshots.get(9)
    with pytest.raises(IncompatibleModel, match="goes back"):
        Fold(learner(alpha=0.5)).take(fold.state())


def test_a_snapshot_of_another_layout_is_passed_over(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    snapshots.put(Snapshot(0.0, {}, folded(folder).state(), LAYOUT - 1))
    assert snapshots.newest({}) is None
    assert f"is of layout {LAYOUT - 1}, expected {LAYOUT}" in caplog.text


def test_who_changes_what_a_state_holds_counts_the_layout_up() -> None:
    held = {
        kind.__name__: " ".join(field.name for field in msgspec.structs.fields(kind))
        for kind in (State, guarded._State, Tally, Level, Contradiction, Marks)
    }
    assert (LAYOUT, held) == (
        3,
        {
            "State": "offset learned seen learner delayed",
            "_State": "undo probe ranges tally champion next_champion age learned undone steps shifts moments last "
            "scores went_back marks",
            "Tally": "aside falls returns worse doubt surprised level mine theirs behind span spans only_learner "
            "only_champion reason",
            "Level": "bets block in_block blocks usual lately",
            "Contradiction": "bets trust outcome held",
            "Marks": "last",
        },
    )


def test_the_ids_that_were_met_last_are_remembered_across_a_snapshot_too() -> None:
    fold = Fold(learner(), remembered=20)

    def met(stop: int, start: int = 0, version: int = 0) -> int:
        return fold.apply(Entry(fold.offset, events(start, stop, version=version)))

    assert met(20) == 20
    for version in range(1, 50):  # corrected again and again, it stays the one that was met last
        assert met(1, version=version) == 1
    assert met(39, 20) == 19  # all but it have made room
    assert met(1, version=49) == 0
    restarted = Fold(learner(), remembered=20)
    restarted.take(fold.state())
    fold = restarted
    assert met(39, 20) == 0
    assert met(2, 1) == 1
    assert met(1, version=49) == 1  # it was the oldest by then
