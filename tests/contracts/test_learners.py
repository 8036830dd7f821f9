"""What every learner must hold to, whoever wrote it: order, determinism, a state that goes round or tells of damage."""

from __future__ import annotations

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.domain.model import Learner
from servable.errors import CorruptModel, IncompatibleModel, InvalidInput
from tests.contracts.learners import LearnerCase, cases

CASES = cases()


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> LearnerCase:
    return CASES[request.param]


def answers(learner: Learner, batch: Batch) -> dict[str, object]:
    return {name: values.tolist() for name, values in learner.predict(batch).columns.items()}


def test_one_by_one_is_the_same_as_all_at_once_and_again(case: LearnerCase) -> None:
    single, whole, again = case.make(), case.make(), case.make()
    for row in range(len(case.x)):
        single.learn(case.batch(slice(row, row + 1)), case.y[row : row + 1])
    for learner in (whole, again):
        learner.learn(case.batch(slice(None)), case.y)
    told = answers(whole, case.batch(slice(None)))
    assert answers(single, case.batch(slice(None))) == answers(again, case.batch(slice(None))) == told


def test_order_matters_and_is_kept(case: LearnerCase) -> None:
    forward, backward = case.make(), case.make()
    forward.learn(case.batch(slice(None)), case.y)
    backward.learn(case.batch(slice(None, None, -1)), case.y[::-1])
    assert forward.snapshot() != backward.snapshot()


def test_a_state_goes_round_and_learning_goes_on_from_it(case: LearnerCase) -> None:
    half = len(case.x) // 2
    whole, first, second = case.make(), case.make(), case.make()
    whole.learn(case.batch(slice(half)), case.y[:half])
    whole.learn(case.batch(slice(half, None)), case.y[half:])
    first.learn(case.batch(slice(half)), case.y[:half])
    second.restore(first.snapshot())
    assert answers(second, case.batch(slice(None))) == answers(first, case.batch(slice(None)))
    second.learn(case.batch(slice(half, None)), case.y[half:])
    assert answers(second, case.batch(slice(None))) == answers(whole, case.batch(slice(None)))


def test_rows_are_predicted_as_they_are_alone_and_learning_asks_nothing(case: LearnerCase) -> None:
    learner = case.make()
    assert learner.predict(case.batch(slice(3))).rows == 3
    learner.learn(case.batch(slice(None)), case.y)
    before, again = learner.snapshot(), case.make()
    together = learner.predict(case.batch(slice(20)))
    for row in range(20):
        for name, values in learner.predict(case.batch(slice(row, row + 1))).columns.items():
            if values.dtype == object:
                assert values[0] == together[name][row]
            else:
                np.testing.assert_allclose(values[0], together[name][row], rtol=1e-4, atol=1e-6)
    again.restore(before)
    assert answers(again, case.batch(slice(None))) == answers(learner, case.batch(slice(None)))
    assert learner.predict(case.batch(slice(0))).rows == 0


def test_a_state_that_is_damaged_or_of_another_is_refused(case: LearnerCase) -> None:
    learner = case.make()
    state = learner.snapshot()
    for end in range(0, len(state), max(len(state) // 20, 1)):
        with pytest.raises(CorruptModel):
            learner.restore(state[:end])
    with pytest.raises((CorruptModel, IncompatibleModel)):
        learner.restore(b"another" + state)


def test_outcomes_that_cannot_be_learned_are_refused(case: LearnerCase) -> None:
    learner = case.make()
    for wrong in ([77.5], [np.nan]) if "label" in learner.predict(case.batch(slice(1))) else ([np.nan], [np.inf]):
        with pytest.raises(InvalidInput, match="outcomes"):
            learner.check(np.array(wrong))
