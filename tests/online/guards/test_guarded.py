"""The guards, on a line that wanders: what must not harm does not, what must be undone is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import CorruptModel
from servable.online.guards.competition import ALARM
from servable.online.guards.guarded import Guarded
from servable.online.guards.limits import Limits
from servable.online.guards.quarantine import Quarantine, read
from servable.online.guards.standing import standing
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.labels import Labels

WIDTH = 6
BURST = slice(1500, 2000)


def ftrl(**options: float) -> Ftrl:
    return Ftrl(Signature((Field("x", "FP64", (-1, WIDTH)),), Labels([0, 1]).fields()), [0, 1], **options)


class Bare(Ftrl):
    """One that brings nothing within reach itself."""

    clips = False


def bare() -> Bare:
    return Bare(Signature((Field("x", "FP64", (-1, WIDTH)),), Labels([0, 1]).fields()), [0, 1])


class Shy:
    """A learner that shows nothing of its weights, as those in Python; it counts the rows that it is asked about."""

    concurrent = False

    def __init__(self) -> None:
        self._inner = bare()
        self.asked = 0
        self.learn, self.check, self.close = self._inner.learn, self._inner.check, self._inner.close
        self.snapshot, self.restore = self._inner.snapshot, self._inner.restore

    def predict(self, batch: Batch) -> Batch:
        self.asked += batch.rows
        return self._inner.predict(batch)


def stream(turns_at: int = 10_000, rows: int = 4000, seed: int = 7) -> tuple[Array, Array]:
    """A line that wanders, and at one place turns round for good."""
    random = np.random.default_rng(seed)
    line, x = random.normal(size=WIDTH), random.normal(size=(rows, WIDTH))
    noise, way = random.normal(size=rows) * 0.3, random.normal(size=(rows, WIDTH)) * 0.005
    lines = line + np.cumsum(way, axis=0)
    y = ((x * lines).sum(axis=1) + noise > 0).astype(np.int64)
    y[turns_at:] = 1 - y[turns_at:]
    return x, y


def follow(guarded: Guarded, x: Array, y: Array, truth: Array | None = None, step: int = 10) -> tuple[Array, list[int]]:
    """Which rows were answered rightly before they were learned, and where another began to answer."""
    right = np.zeros(len(y), bool)
    turns = []
    for start in range(0, len(y), step):
        rows = slice(start, start + step)
        aside = guarded.tally.aside
        batch = Batch({"x": x[rows]})
        right[rows] = guarded.predict(batch)["label"] == (y if truth is None else truth)[rows]
        guarded.learn(batch, y[rows])
        if guarded.tally.aside is not aside:
            turns.append(start)
    return right, turns


@pytest.fixture(scope="module")
def clean() -> float:
    right, turns = follow(Guarded(ftrl(), ftrl()), *stream())
    assert not turns
    return float(right[BURST.start :].mean())


@pytest.mark.parametrize("make", [ftrl, bare])
def test_an_absurd_value_does_no_harm(make: Any, clean: float) -> None:
    x, y = stream()
    x[BURST.start, 0] = 1e9
    guarded = Guarded(make(), make())
    right, _ = follow(guarded, x, y)
    assert right[BURST.start :].mean() > clean - 0.005
    assert guarded.clipped == (make is bare)


def test_a_burst_of_flipped_labels_is_rolled_back_and_left_behind(clean: float) -> None:
    x, y = stream()
    flipped = y.copy()
    flipped[BURST] = 1 - y[BURST]
    guarded = Guarded(ftrl(alpha=1.0), ftrl(alpha=1.0))
    right, turns = follow(guarded, x, flipped, truth=y, step=20)
    alone, plain = ftrl(alpha=1.0), []
    for start in range(0, len(y), 20):
        batch = Batch({"x": x[start : start + 20]})
        plain += (alone.predict(batch)["label"] == y[start : start + 20]).tolist()
        alone.learn(batch, flipped[start : start + 20])
    assert BURST.start <= turns[0] < BURST.start + 100
    assert (guarded.tally.falls, guarded.tally.returns) == (1, 1)
    assert right[BURST].mean() > 0.88
    assert np.mean(plain[BURST]) < 0.5
    assert right[BURST.start :].mean() > clean - 0.04


def test_a_learner_that_is_to_answer_whatever_happens_does_and_what_speaks_against_it_is_told() -> None:
    x, y = stream()
    y[BURST] = 1 - y[BURST]
    guarded = Guarded(ftrl(), ftrl(), Limits(fallback=False))
    follow(guarded, x[: BURST.stop], y[: BURST.stop], step=20)
    told = standing(guarded)
    assert (told["answering"], told["falls"]) == ("learner", 0)
    assert told["evidence"] >= ALARM


def test_a_world_that_has_changed_is_followed_when_it_has_stayed_so() -> None:
    x, y = stream(turns_at=1500)
    guarded = Guarded(ftrl(), ftrl())
    right, turns = follow(guarded, x, y)
    assert 1500 < turns[0] < 1600
    assert turns[1] <= turns[0] + 1000 + 10
    assert right[3000:].mean() > 0.85


def test_a_learner_that_follows_wrong_labels_at_once_is_betrayed_by_its_champion() -> None:
    x, y = stream()
    flipped = y.copy()
    flipped[BURST] = 1 - y[BURST]
    guarded = Guarded(Quick(), Quick())
    right, turns = follow(guarded, x, flipped, truth=y)
    assert BURST.start <= turns[0] < BURST.start + 200
    assert right[BURST].mean() > 0.6


class Quick(Bare):
    """It answers the other class as soon as that explains the last ten outcomes better."""

    def __init__(self) -> None:
        super().__init__(Signature((Field("x", "FP64", (-1, WIDTH)),), Labels([0, 1]).fields()), [0, 1])
        self._turned = False

    def predict(self, batch: Batch) -> Batch:
        chances = super().predict(batch)["probabilities"]
        return Batch(self.labels.columns(chances[:, ::-1] if self._turned else chances), batch.rows)

    def learn(self, batch: Batch, outcomes: Array) -> None:
        self._turned ^= bool((self.predict(batch)["label"] != outcomes).mean() > 0.5)
        super().learn(batch, 1 - outcomes if self._turned else outcomes)

    def snapshot(self) -> bytes:
        return bytes([self._turned]) + super().snapshot()

    def restore(self, data: bytes) -> None:
        self._turned = bool(data[0])
        super().restore(data[1:])


@pytest.mark.parametrize("step", [1, 50])
def test_a_champion_in_python_is_asked_about_few_examples_until_something_speaks_against_the_learner(step: int) -> None:
    x, y = stream()
    learner, champion = Shy(), Shy()
    guarded = Guarded(learner, champion)
    follow(guarded, x[: BURST.start], y[: BURST.start], step=step)
    assert BURST.start / 8 <= champion.asked < BURST.start / 2
    before = champion.asked
    y[BURST] = 1 - y[BURST]
    _, turns = follow(guarded, x[BURST], y[BURST], step=step)
    assert turns[0] < 100
    assert champion.asked - before > 500 - 50 - 10
    again = Guarded(Shy(), Shy())
    again.restore(guarded.snapshot())
    assert again.snapshot() == guarded.snapshot()


class Fragile(Ftrl):
    """Breaks at some examples, and has taken half a step by then."""

    def learn(self, batch: Batch, outcomes: Array) -> None:
        super().learn(batch, outcomes)
        if (batch["x"][:, 0] > 3.0).any():
            raise ZeroDivisionError("beyond its strength")
        if (batch["x"][:, 0] < -3.0).any():
            self._held[3] = np.inf


def fragile() -> Fragile:
    return Fragile(Signature((Field("x", "FP64", (-1, WIDTH)),), Labels([0, 1]).fields()), [0, 1])


def test_what_breaks_a_learner_is_undone_and_the_rest_of_its_event_learned(tmp_path: Path) -> None:
    x, y = stream(rows=2000)
    bad = np.abs(x[:, 0]) > 3.0
    assert 0 < bad.sum() < 20
    path = tmp_path / "quarantine.jsonl"
    guarded = Guarded(fragile(), fragile(), on_undone=Quarantine(path).undone)
    follow(guarded, x, y, step=20)
    assert sum(guarded.undone.values()) == bad.sum()
    assert {line["number"] for line in read(path)} == set(np.flatnonzero(bad).tolist())
    assert {line["reason"] for line in read(path)} == set(guarded.undone)
    alone = ftrl()
    alone.learn(Batch({"x": x[~bad]}), y[~bad])
    assert guarded.learner.snapshot() == alone.snapshot()

    before = path.read_bytes()
    again = Guarded(fragile(), fragile(), on_undone=Quarantine(path).undone)
    follow(again, x, y, step=20)
    assert path.read_bytes() == before
    assert again.snapshot() == guarded.snapshot()


class Sleeper(Ftrl):
    """Forgets everything at one example, though every number of it stays finite."""

    def learn(self, batch: Batch, outcomes: Array) -> None:
        super().learn(batch, outcomes)
        if (batch["x"][:, 0] == 0.125).any():
            self._held[0] *= -50.0
            self._held[3] *= -50.0


def test_answers_that_move_too_far_are_taken_back_with_what_moved_them() -> None:
    def sleeper() -> Sleeper:
        return Sleeper(Signature((Field("x", "FP64", (-1, WIDTH)),), Labels([0, 1]).fields()), [0, 1])

    x, y = stream(rows=3000)
    x[2050, 0] = 0.125
    guarded = Guarded(sleeper(), sleeper())
    right, _ = follow(guarded, x, y)
    assert set(guarded.undone) == {"the answers to the probe rows moved too far"}
    assert 50 <= sum(guarded.undone.values()) <= 200
    assert right[2100:].mean() > 0.9


@pytest.mark.parametrize("cut", [140, 1500, 1540, 2600])
def test_a_state_goes_round_wherever_it_is_taken(cut: int) -> None:
    x, y = stream()
    y[BURST] = 1 - y[BURST]
    whole, first, second = (Guarded(bare(), bare()) for _ in range(3))
    follow(first, x[:cut], y[:cut])
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    follow(second, x[cut:], y[cut:])
    follow(whole, x, y)
    assert second.snapshot() == whole.snapshot()
    with pytest.raises(CorruptModel):
        second.restore(first.snapshot()[:-3])


@pytest.mark.parametrize(("size", "least", "most"), [("small", 25, 100), ("large", 128, 512)])
def test_looks_lie_about_as_far_apart_as_they_should_and_those_of_a_large_state_farther(
    size: str, least: int, most: int
) -> None:
    x, y = stream(rows=4000)
    make = ftrl if size == "small" else Padded
    guarded = Guarded(make(), make(), Limits(check_every=50))
    gaps, before = [], 0
    for row in range(len(y)):
        guarded.learn(Batch({"x": x[row : row + 1]}), y[row : row + 1])
        if guarded._undo.rows == 0:
            gaps.append(before + 1)
        before = guarded._undo.rows
    assert least <= min(gaps) < max(gaps) <= most
    assert least < np.mean(gaps) < most


class Padded(Bare):
    """Its state is two hundred kilobytes."""

    def __init__(self) -> None:
        super().__init__(Signature((Field("x", "FP64", (-1, WIDTH)),), Labels([0, 1]).fields()), [0, 1])

    def snapshot(self) -> bytes:
        return bytes(200_000) + super().snapshot()

    def restore(self, data: bytes) -> None:
        super().restore(data[200_000:])


def test_behind_an_example_that_is_missing_looks_are_where_they_were() -> None:
    x, y = stream(rows=2000)

    def looks(left_out: int | None) -> list[int]:
        guarded, found = Guarded(bare(), bare()), []
        for row in range(len(y)):
            if row != left_out:
                guarded.learn(Batch({"x": x[row : row + 1]}), y[row : row + 1])
                if guarded._undo.rows == 0:
                    found.append(row)
        return found

    whole = looks(None)
    assert len(whole) > 15
    assert [row for row in looks(500) if row > 700] == [row for row in whole if row > 700]


def test_the_quarantine_tells_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "q" / "quarantine.jsonl"
    quarantine = Quarantine(path, file_bytes=2000)
    batch = Batch({"x": np.array([[1.0, np.inf]]), "city": np.array(["Oslo"], object)})
    quarantine.turned_away(5.0, "ward", ("a",), batch, np.array(["yes"], object), "a number that is not finite")
    assert json.loads(path.read_text()) == {
        "reason": "a number that is not finite", "number": None, "time": 5.0, "source": "ward", "id": "a",
        "inputs": {"x": [1.0, "inf"], "city": "Oslo"}, "outcome": "yes",
    }  # fmt: skip
    with path.open("ab") as file:
        file.write(b'{"half')
    assert len(read(path)) == 1
    for _ in range(20):
        quarantine.turned_away(5.0, "ward", ("a",), batch, np.array(["yes"], object), "again")
    assert path.with_suffix(".jsonl.1").exists()
    assert quarantine.counts == {"a number that is not finite": 1, "again": 20}


class Greedy(Ftrl):
    """Keeps every example that it has ever seen."""

    def __init__(self) -> None:
        super().__init__(Signature((Field("x", "FP64", (-1, WIDTH)),), Labels([0, 1]).fields()), [0, 1])
        self._kept = b""

    def learn(self, batch: Batch, outcomes: Array) -> None:
        super().learn(batch, outcomes)
        self._kept += batch["x"].tobytes()

    def snapshot(self) -> bytes:
        return len(self._kept).to_bytes(8, "big") + self._kept + super().snapshot()

    def restore(self, data: bytes) -> None:
        end = 8 + int.from_bytes(data[:8], "big")
        self._kept = data[8:end]
        super().restore(data[end:])


def test_a_model_that_outgrows_its_limit_keeps_the_last_state_within_it() -> None:
    x, y = stream(rows=2000)
    guarded = Guarded(Greedy(), Greedy(), Limits(most_bytes=50_000))
    right, _ = follow(guarded, x, y)
    assert len(guarded.learner.snapshot()) < 50_000 + 200 * WIDTH * 8
    assert set(guarded.undone) == {"the model outgrew its limit"}
    assert right[-500:].mean() > 0.7
