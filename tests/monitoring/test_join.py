"""Answers joined with outcomes that come late, twice, out of order and corrected."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from servable.domain.joined import Joined, Tally
from servable.domain.outcome import Outcome
from servable.domain.success import Success
from servable.monitoring.join import Trial, join
from servable.monitoring.kept import Kept
from servable.monitoring.outcomes import Outcomes
from tests.postgresql import postgresql

TRIAL = Trial("m", 100.0, Success("correct"))


@pytest.fixture
def store(tmp_path: Path) -> Outcomes:
    return Outcomes.at("", tmp_path, days=36_500.0)


def answered(store: Outcomes, version: str, *ids: str, said: str = "yes", unit: str = "", time: float = 200.0) -> None:
    store.keep([("m", Kept(version, unit or id, id, said, time)) for id in ids])


def told(store: Outcomes, *outcomes: Outcome) -> None:
    store.take([("m", "ada", one) for one in outcomes])


def test_only_what_is_known_counts(store):
    answered(store, "1", "a", "b", "c")
    answered(store, "2", "d", "e")
    first = join(store, TRIAL, Joined())
    assert first.tallies == {"1": Tally(3), "2": Tally(2)}
    told(store, Outcome("a", "yes"), Outcome("b", "no"), Outcome("d", "yes"), Outcome("stranger", "yes"))
    second = join(store, TRIAL, first)
    assert second.tallies == {"1": Tally(3, 2, 1.0), "2": Tally(2, 1, 1.0)}
    assert join(store, TRIAL, second) == second


def test_what_was_told_before_the_first_look_counts_and_what_is_of_before_the_trial_does_not(store):
    answered(store, "1", "old", time=50.0)
    answered(store, "1", "new")
    told(store, Outcome("old", "yes"), Outcome("new", "yes"))
    assert join(store, TRIAL, Joined()).tallies == {"1": Tally(1, 1, 1.0)}
    assert store.answers_of("m", 0.0, ids=["old"]) == []  # nobody waits for it any more


def test_an_outcome_may_come_before_its_answer(store):
    told(store, Outcome("a", "yes"))
    known = join(store, TRIAL, Joined())
    answered(store, "2", "a")
    assert join(store, TRIAL, known).tallies == {"2": Tally(1, 1, 1.0)}


@pytest.mark.parametrize(
    ("outcomes", "good"),
    [
        ([Outcome("a", "yes"), Outcome("a", "no")], 1.0),  # the same again, or a contradiction: the first holds
        ([Outcome("a", "yes"), Outcome("a", "no", version=1)], 0.0),
        ([Outcome("a", "no", version=1), Outcome("a", "yes")], 0.0),
        ([Outcome("a", "yes", time=1.0), Outcome("a", "no", time=2.0)], 0.0),
        ([Outcome("a", "no", time=2.0), Outcome("a", "yes", time=1.0)], 0.0),
        ([Outcome("a", "no", time=9.0), Outcome("a", "yes", time=1.0, version=1)], 1.0),
    ],
)
def test_corrections_supersede(store, outcomes, good):
    answered(store, "1", "a")
    known = Joined()
    for outcome in outcomes:
        told(store, outcome)
        known = join(store, TRIAL, known)
    assert known.tallies == {"1": Tally(1, 1, good)}


def test_a_unit_counts_once_however_many_rows_it_has(store):
    answered(store, "1", "a/0", "a/1", "a/2", unit="a")
    answered(store, "1", "b", "c", unit="ada")
    told(store, Outcome("a/0", "yes"), Outcome("a/1", "no"), Outcome("b", "yes"))
    known = join(store, TRIAL, Joined())
    assert known.tallies == {"1": Tally(2, 2, 1.5)}
    told(store, Outcome("c", "no"), Outcome("a/1", "yes", version=1))
    assert join(store, TRIAL, known).tallies == {"1": Tally(2, 2, 1.5)}


def test_an_answer_that_was_asked_for_twice_counts_once(store):
    answered(store, "1", "a")
    answered(store, "1", "a", said="no")
    told(store, Outcome("a", "yes"))
    assert join(store, TRIAL, Joined()).tallies == {"1": Tally(1, 1, 1.0)}


def test_what_cannot_be_judged_is_not_known(store):
    answered(store, "1", "a")
    told(store, Outcome("a", 3))
    success = Trial("m", 100.0, Success("outcome"))
    assert join(store, success, Joined()).tallies == {"1": Tally(1)}


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_doubled_and_corrected_labels_lead_to_the_same_as_ordered_ones(store, tmp_path, seed, monkeypatch):
    """The same final metric, whatever the order, in however many looks, and in portions."""
    monkeypatch.setattr("servable.monitoring.join.MOST", 64)
    chance = random.Random(seed)
    ids = [f"id {n}" for n in range(600)]
    arms = {"1": ids[:400], "2": ids[400:]}
    labels = [Outcome(id, chance.choice(["yes", "no"])) for id in ids if chance.random() < 0.8]
    corrected = [Outcome(one.id, "yes", version=1) for one in labels if chance.random() < 0.05]
    doubled = chance.sample(labels, len(labels) // 10)

    ordered = Outcomes.at("", tmp_path / "ordered", days=36_500.0)
    for version, own in arms.items():
        answered(ordered, version, *own)
    told(ordered, *labels, *corrected)

    stream = [*labels, *corrected, *doubled]
    chance.shuffle(stream)
    waiting = [(version, id) for version, own in arms.items() for id in own]
    chance.shuffle(waiting)
    known = Joined()
    while stream or waiting:
        count = chance.randrange(1, 200)
        some, stream = stream[:count], stream[count:]
        if some:
            told(store, *some)
        part, waiting = waiting[:count], waiting[count:]
        if part:
            store.keep([("m", Kept(version, id, id, "yes", 200.0)) for version, id in part])
        known = join(store, TRIAL, known)
    assert known.tallies == join(ordered, TRIAL, Joined()).tallies
    assert known.of("1").kept == 400


def test_machines_that_share_a_database_share_what_they_heard(tmp_path):
    """The prediction here, its outcome there."""
    with postgresql() as url:
        here, there = (Outcomes.at(url, tmp_path / name, days=36_500.0) for name in ("here", "there"))
        answered(here, "1", "a", "b")
        told(there, Outcome("a", "yes"))
        known = join(here, TRIAL, Joined())
        told(there, Outcome("b", "no"), Outcome("a", "no", version=1))
        known = join(there, TRIAL, known)
        assert known.tallies == {"1": Tally(2, 2, 0.0)}
        assert join(here, TRIAL, known) == known
        here.forget("m", 300.0)
        assert there.answers_of("m", 0.0, ids=["a", "b"]) == []
