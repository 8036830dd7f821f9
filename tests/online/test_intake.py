"""Intake: lessons of one round, grouped or alone, come to the same events, and each is told its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import TooMany
from servable.online import event
from servable.online.guards.limits import Limits
from servable.online.guards.quarantine import Quarantine
from servable.online.intake import Intake
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.labels import Labels
from servable.online.messages import Asked, Examples, Lesson, Outcomes
from servable.online.waiting import Waiting

SIGNATURE = Signature((Field("x", "FP64", (-1, 2)), Field("city", "BYTES")), Labels([0, 1]).fields())


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return intake_of(tmp_path)


def intake_of(folder: Path, limits: Limits | None = None, most_behind: int = 1000) -> Intake:
    quarantine = Quarantine(folder / "quarantine.jsonl")
    learner = Ftrl(SIGNATURE, [0, 1])
    return Intake(learner, SIGNATURE, Waiting(60.0), limits or Limits(), quarantine, most_behind)


def batch(*x: float) -> Batch:
    cities = np.array([f"city {value}" for value in x], object)
    return Batch({"x": np.array([[value, -value] for value in x]), "city": cities})


def outcomes(*values: int) -> event.Column:
    return event.column("", np.array(values))


def examples(key: str, *x: float, source: str = "ward", told: int = 1) -> Examples:
    ids = tuple(f"{key}/{row}" for row in range(len(x)))
    return Examples(source, ids, event.columns(batch(*x)), outcomes(*[told] * len(x)))


def rows(events: list[event.Event]) -> list[tuple[str, float]]:
    found = []
    for one in events:
        values: Array = event.batch_of(one.columns)["x"]
        cities = event.batch_of(one.columns)["city"].tolist()
        assert cities == [f"city {value}" for value in values[:, 0].tolist()]
        found += list(zip(one.ids, values[:, 0].tolist(), strict=True))
    return found


def test_single_lessons_become_one_event_and_each_is_told_its_offset(intake: Intake) -> None:
    lessons: list[Lesson] = [examples(str(number), float(number)) for number in range(10)]
    events, answers = intake.take(lessons, offset=100, behind=0)
    assert [one.rows for one in events] == [10]
    assert rows(events) == [(f"{number}/0", float(number)) for number in range(10)]
    assert [answer.offset for answer in answers] == list(range(101, 111))
    assert all(answer.taken == 1 and answer.problem is None for answer in answers)


def test_a_group_is_of_one_sender_and_of_a_length_that_predictions_can_wait_for(intake: Intake) -> None:
    sources = ["a", "a", "b", "a"]
    lessons: list[Lesson] = [examples(str(n), 1.0, source=source) for n, source in enumerate(sources)]
    events, _ = intake.take(lessons, 0, 0)
    assert [(one.source, one.rows) for one in events if isinstance(one, event.Examples)] == [
        ("a", 2),
        ("b", 1),
        ("a", 1),
    ]
    many: list[Lesson] = [examples(str(number), *[1.0] * 30) for number in range(5)]
    events, answers = intake.take(many, 0, 0)
    assert [one.rows for one in events] == [60, 60, 30]
    assert [answer.offset for answer in answers] == [30, 60, 90, 120, 150]


def test_who_is_to_blame_is_refused_alone(intake: Intake) -> None:
    lessons: list[Lesson] = [examples("a", 1.0), examples("b", 2.0, told=7), examples("c", 3.0)]
    events, answers = intake.take(lessons, 0, 0)
    assert rows(events) == [("a/0", 1.0), ("c/0", 3.0)]
    assert [answer.offset for answer in answers] == [1, 0, 2]
    assert answers[1].problem is not None
    assert "outcome of row 0: 7" in str(answers[1].problem.error().detail)


def test_what_is_turned_away_leaves_the_others_of_its_group(intake: Intake, tmp_path: Path) -> None:
    lessons: list[Lesson] = [examples("a", 1.0, np.inf), examples("b", np.nan), examples("c", 3.0)]
    events, answers = intake.take(lessons, 0, 0)
    assert rows(events) == [("a/0", 1.0), ("c/0", 3.0)]
    assert [(answer.offset, answer.taken, answer.unknown) for answer in answers] == [(1, 1, ()), (1, 0, ()), (2, 1, ())]
    assert (tmp_path / "quarantine.jsonl").read_text().count("\n") == 2


def test_outcomes_find_the_rows_that_came_in_the_same_round(intake: Intake) -> None:
    lessons: list[Lesson] = [
        Asked(("one",), event.columns(batch(1.0))),
        Outcomes("ward", ("one", "x"), (0, 0), outcomes(1, 0)),
        Outcomes("ward", ("two/1", "y"), (2, 0), outcomes(1, 1)),
        Asked(("two/0", "two/1"), event.columns(batch(2.0, 3.0))),
    ]
    events, answers = intake.take(lessons, 5, 0)
    assert rows(events) == [("one", 1.0), ("two/0", 2.0), ("two/1", 3.0), ("one", 1.0), ("two/1", 3.0)]
    assert [(answers[place].offset, answers[place].unknown) for place in (1, 2)] == [(6, ("x",)), (7, ("y",))]
    last = events[-1]
    assert isinstance(last, event.Examples)
    assert last.versions == (0, 2)


def test_too_many_are_turned_away_with_when_to_come_back(tmp_path: Path) -> None:
    intake = intake_of(tmp_path, Limits(most_per_s=1.0), most_behind=3)
    first: list[Lesson] = [examples("a", 1.0), examples("b", 1.0)]
    events, _ = intake.take(first, offset=50, behind=0)
    assert rows(events) == [("a/0", 1.0), ("b/0", 1.0)]
    _, (answer,) = intake.take([examples("c", 1.0)], offset=52, behind=2)
    told = answer.problem
    assert told is not None
    error = told.error()
    assert isinstance(error, TooMany)
    assert 0 < error.retry_after_s <= 1
    _, (behind,) = intake.take([examples("d", 1.0, source="other")], offset=53, behind=3)
    assert behind.problem is not None
    assert "3 examples behind" in behind.problem.message
