"""What is sparse has a place only when it was met twice, while it is met, and as far as there is room."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.errors import UsageError
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.labels import Labels
from servable.online.learners.linear import OUTPUT, Linear
from servable.online.learners.memory import Memory
from servable.online.learners.table import Table

WORD = Field("word", "BYTES")
CLASSES = Signature((WORD,), Labels(["no", "yes"]).fields())


def ftrl(**memory: int) -> Ftrl:
    return Ftrl(CLASSES, ["no", "yes"], alpha=0.5, memory=Memory(**memory))


def words(rows: int, seed: int = 3) -> tuple[Array, Array]:
    """Words as they are in texts: few are frequent, most are met once; the odd ones of the frequent mean yes."""
    numbers = np.random.default_rng(seed).zipf(1.3, rows)
    told = np.array([f"w{number}" for number in numbers], object)
    return told, np.where((numbers < 50) & (numbers % 2 == 1), "yes", "no").astype(object)


def test_admission_keeps_out_what_is_met_once_and_changes_no_answer_to_the_rest() -> None:
    told, meant = words(4000)
    once, twice = ftrl(sightings=1), ftrl(sightings=2)
    for learner in (once, twice):
        learner.learn(Batch({"word": told}), meant)
    often = Counter(told.tolist())
    assert len(once._table) == len(often)
    assert len(twice._table) == sum(count > 1 for count in often.values()) < 0.6 * len(often)
    right = [(learner.predict(Batch({"word": told}))["label"] == meant).mean() for learner in (once, twice)]
    assert abs(right[0] - right[1]) < 0.01
    assert len(twice.snapshot()) < len(once.snapshot())


def test_a_full_table_gives_up_what_was_not_met_for_longest_and_grows_no_more() -> None:
    told, meant = words(20_000)
    small = ftrl(most_features=200)
    sizes = []
    for start in range(0, len(told), 1000):
        rows = slice(start, start + 1000)
        small.learn(Batch({"word": told[rows]}), meant[rows])
        sizes.append(len(small.snapshot()))
    assert len(small._table) == 200
    assert max(sizes[5:]) - min(sizes[5:]) < 500
    frequent = np.array(["w1", "w2", "w3", "w4"], object)
    assert small.predict(Batch({"word": frequent}))["label"].tolist() == ["yes", "no", "yes", "no"]
    assert small.parameters().size == 1 + 200


def test_what_is_not_met_any_more_leaves_and_is_forgotten() -> None:
    learner = ftrl(expire_after=50)
    yes = np.array(["yes"] * 30, object)
    learner.learn(Batch({"word": np.array(["old"] * 30, object)}), yes)
    before = learner.predict(Batch({"word": np.array(["old"], object)}))["probabilities"][0, 1]
    learner.learn(Batch({"word": np.array(["new"] * 60, object)}), np.array(["no"] * 60, object))
    unknown, old = learner.predict(Batch({"word": np.array(["never", "old"], object)}))["probabilities"][:, 1]
    assert before > 0.8
    assert old == unknown
    assert len(learner._table) == 1
    learner.learn(Batch({"word": np.array(["old"] * 2, object)}), yes[:2])
    assert len(learner._table) == 2
    assert learner._table.end == 3  # the place was given again


@pytest.mark.parametrize(
    "make",
    [
        lambda: ftrl(most_features=60, expire_after=700),
        lambda: Linear(Signature((WORD,), (OUTPUT,)), memory=Memory(most_features=60, expire_after=700)),
    ],
)
def test_a_state_goes_round_and_learning_goes_on_from_it(make) -> None:
    told, meant = words(3000)
    whole: Learner = make()
    first, second = make(), make()
    outcomes = meant if isinstance(whole, Ftrl) else (meant == "yes").astype(np.float64)
    whole.learn(Batch({"word": told}), outcomes)
    first.learn(Batch({"word": told[:1500]}), outcomes[:1500])
    second.learn(Batch({"word": told[::-1]}), outcomes[::-1])
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    second.learn(Batch({"word": told[1500:]}), outcomes[1500:])
    assert second.snapshot() == whole.snapshot()


def test_an_example_that_is_larger_than_the_table_is_learned_as_far_as_it_fits() -> None:
    table = Table(first=1, capacity=2, sightings=1)
    places, freed = table.meet(np.array([5, 6, 7]))
    assert len(table) == 2
    assert sorted(places.tolist()) == [1, 2]
    assert set(freed.tolist()) <= {1, 2}


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"hash_bits": 0}, {"most_features": 0}, {"sightings": 0}, {"expire_after": -1}):
        with pytest.raises(UsageError, match="most_features and sightings of 1 or more"):
            Memory(**wrong)
