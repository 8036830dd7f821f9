"""How right the answers were that callers got, by outcomes that come late, twice or never."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.errors import CorruptModel
from servable.online import messages
from servable.online.delayed import Delayed
from servable.online.event import Examples, Given, array, column, columns
from servable.online.fold import Fold
from servable.online.groups import groups
from servable.online.guards.limits import Limits
from servable.online.guards.quarantine import Quarantine
from servable.online.intake import Intake
from servable.online.journal import Entry
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.labels import Labels
from servable.online.learners.linear import OUTPUT, Linear
from servable.online.waiting import Waiting

CANCER = load_breast_cancer(return_X_y=True)
CLASSES = Signature((Field("x", "FP64", (-1, 30)),), Labels([0, 1]).fields())
NUMBERS = Signature((Field("x", "FP64", (-1, 10)),), (OUTPUT,))


def late(tmp_path: Path, learner: Learner, x: Array, y: Array, delay: int) -> tuple[Fold, Array]:
    """A fold whose outcomes come `delay` questions after the answers; and the answers that were given."""
    contract = CLASSES if isinstance(learner, Ftrl) else NUMBERS
    waiting = Waiting(1e9)
    intake = Intake(learner, contract, waiting, Limits(), Quarantine(tmp_path / "q.jsonl"), 10_000)
    fold, given = Fold(learner), []
    name = "label" if contract is CLASSES else OUTPUT.name

    def take(lesson: messages.Lesson) -> None:
        events, (answer,) = intake.take([lesson], fold.offset, 0)
        assert answer.problem is None and not answer.unknown
        for event in events:
            if isinstance(event, Examples):
                fold.apply(Entry(fold.offset, event))

    for row in range(len(y) + delay):
        if row >= delay:
            told = column("", y[row - delay : row - delay + 1])
            take(messages.Outcomes("", (str(row - delay),), (0,), told))
        if row < len(y):
            question = Batch({"x": x[row : row + 1]})
            answer = learner.predict(question)[name]
            given.append(answer[0])
            take(messages.Asked((str(row),), columns(question), column(name, answer)))
    return fold, np.array(given)


@pytest.mark.parametrize("delay", [1, 60])
def test_the_answers_that_were_given_are_judged_and_no_change_knows_no_more_than_they_did(
    tmp_path: Path, delay: int
) -> None:
    x, y = CANCER
    fold, given = late(tmp_path, Ftrl(CLASSES, [0, 1]), x, y, delay)
    told = fold.delayed.report()
    known = [y[row - delay] if row >= delay else -1 for row in range(len(y))]
    assert told["examples"] == told["window"]["examples"] == len(y)
    assert told["window"]["accuracy"] == pytest.approx((given == y).mean())
    assert told["window"]["no_change_accuracy"] == pytest.approx(np.mean(np.array(known) == y))
    assert told["window"]["accuracy_low"] < told["window"]["accuracy"] < told["window"]["accuracy_high"]
    assert 0.0 <= told["window"]["delay_s"]["median"] <= told["window"]["delay_s"]["longest"]


def test_numbers_are_judged_by_how_far_off_they_were(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    fold, given = late(tmp_path, Linear(NUMBERS), x, y, 7)
    window = fold.delayed.report()["window"]
    assert window["error"] == pytest.approx(np.abs(given - y).mean())
    assert window["no_change_error"] == pytest.approx(np.abs(y[7:] - y[:-7]).mean())
    assert window["error_low"] < window["error"] < window["error_high"]
    assert window["outcome"] == pytest.approx(y.mean())
    assert window["outcome_low"] < window["outcome"] < window["outcome_high"]


def test_delays_are_those_of_the_clock_and_a_state_goes_round() -> None:
    delayed = Delayed(window=3)
    for row in range(5):
        given = Given((100.0 * row,), column("label", np.array(["a"], object)), (None,))
        delayed.see(given, np.array(["a" if row % 2 else "b"], object), 100.0 * row + 10 * row)
    report = delayed.report()
    assert (report["examples"], report["window"]["examples"]) == (5, 3)
    assert report["window"]["delay_s"] == {"median": 30.0, "p95": 39.0, "longest": 40.0}
    assert report["window"]["accuracy"] == pytest.approx(1 / 3)
    again = Delayed(window=3)
    again.restore(delayed.snapshot())
    assert again.report() == report
    with pytest.raises(CorruptModel, match="cannot be read"):
        again.restore(b"nothing")
    assert Delayed().report() == {"examples": 0}


def test_an_outcome_of_which_no_answer_is_known_is_learned_all_the_same() -> None:
    fold = Fold(Ftrl(CLASSES, [0, 1]))
    x, y = CANCER[0][:2], CANCER[1][:2]
    sent = Examples(0.0, "", ("a", "b"), (0, 0), columns(Batch({"x": x})), column("", y))
    assert fold.apply(Entry(0, sent)) == 2
    assert fold.delayed.report() == {"examples": 0}


def test_questions_that_are_taken_together_keep_their_answers() -> None:
    asked = [
        messages.Asked((key,), columns(Batch({"x": CANCER[0][:1]})), column("label", np.array([answer])))
        for key, answer in (("a", 1), ("b", 0))
    ]
    (group,) = groups(asked)
    assert isinstance(group.lesson, messages.Asked) and group.lesson.answers is not None
    assert group.lesson.ids == ("a", "b")
    assert array(group.lesson.answers).tolist() == [1, 0]
    assert len(list(groups([asked[0], messages.Asked(("c",), asked[0].columns)]))) == 2
