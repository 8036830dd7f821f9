"""The regression suite: what it keeps, what it refuses, and what a crash leaves of it."""

from __future__ import annotations

import json

import pytest

from servable.checks.case import Case, Near, read_cases
from servable.checks.production import with_records
from servable.checks.replay import replay
from servable.checks.subject import Subject
from servable.checks.suite import Suite
from servable.domain.rule import Rule
from servable.errors import BundleError, NotFound, UsageError
from servable.rules.guard import Guard
from tests.checks.models import cancer, diabetes, passengers

ROW = {"Age": 22, "SibSp": 1, "Parch": 0, "Fare": 7.25, "Sex": "male", "Embarked": "S"}


@pytest.fixture
def suite(tmp_path):
    return Suite(tmp_path, "passengers", "ann", lambda: 1.0)


def test_cases_come_and_go(suite):
    first, second = Case(ROW, label="died"), Case(ROW | {"Age": None}, label="died", must_pass=False)
    assert suite.cases() == []
    assert suite.add([first, second, first]) == [first, second]
    assert suite.add([first]) == []
    assert suite.remove(second.id) == second
    assert suite.cases() == [first]
    with pytest.raises(NotFound, match=second.id):
        suite.remove(second.id)
    assert len(suite.path.read_text().splitlines()) == 3
    assert suite.path.stat().st_mode & 0o777 == 0o600


def test_a_case_that_comes_again_with_another_mark_has_the_new_one(suite):
    suite.add([Case(ROW, label="died", must_pass=False)])
    suite.add([Case(ROW, label="died", note="claim 4711")])
    (case,) = suite.cases()
    assert case.must_pass
    assert case.note == "claim 4711"


def test_what_a_crash_cut_off_is_not_there_and_hurts_nobody(suite):
    suite.add([Case(ROW, label="died")])
    whole = suite.path.read_bytes()
    suite.path.write_bytes(whole + whole[:40])
    assert len(suite.cases()) == 1
    suite.add([Case(ROW, label="survived")])
    assert len(suite.cases()) == 2


def test_a_broken_line_is_named(suite):
    suite.add([Case(ROW, label="died")])
    suite.path.write_bytes(b"nonsense\n" + suite.path.read_bytes())
    with pytest.raises(BundleError, match="line 1 is no case"):
        suite.cases()


@pytest.mark.parametrize(
    "text", ['{"row": {"a": 1}, "label": "x"}\n{"row": {}}\n', '[{"row": {"a": 1}, "label": "x"}, {"row": {}}]']
)
def test_cases_are_read_from_lines_or_a_list(text):
    assert read_cases(text, "f") == [Case({"a": 1}, label="x"), Case({})]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"rows": {}}', "unknown field"),
        ('{"row": {}, "label": 1, "refused": true}', "got several"),
        ('{"row": {}, "between": [2, 1]}', "lower end first"),
        ("{", "does not hold cases"),
    ],
)
def test_what_is_no_case(text, told):
    with pytest.raises(UsageError, match=told):
        read_cases(text, "cases.jsonl")


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (Case(ROW, label="died"), ""),
        (Case(ROW, label="survived"), "it answers 'died'"),
        (Case(ROW), ""),
        (Case(ROW, between=(0, 0.5), of="survived"), ""),
        (Case(ROW, between=(0.9, 1), of="survived"), "it is 0.1"),
        (Case(ROW, between=(0, 1), of="drowned"), "no class 'drowned'"),
        (Case(ROW, near=Near(ROW | {"Age": 23}, 0.05)), ""),
        (Case(ROW, near=Near(ROW | {"Sex": "female"}, 0.05)), "and 0.6"),
        (Case(ROW, refused=True), "it answers 'died'"),
        (Case({"Age": "old"}, refused=True), ""),
        (Case(ROW | {"Ticket": 1}), "it is refused"),
    ],
)
def test_every_expectation(case, why):
    verdict = replay([case], passengers().subject)
    assert verdict.passed == (not why)
    if why:
        assert why in verdict.evidence["failed"][0]["got"]


@pytest.mark.parametrize(
    ("rule", "case", "why"),
    [
        (Rule("adults", column="Age", low=23, action="refuse"), Case(ROW, refused=True), ""),
        (Rule("adults", column="Age", low=23, action="refuse"), Case(ROW, label="died"), "refused by rule 'adults'"),
        (Rule("flagged", column="Age", low=23), Case(ROW, label="died"), ""),
        (
            Rule("fares", column="Fare", high=500, action="clip"),
            Case(ROW | {"Fare": 1e6}, near=Near(ROW | {"Fare": 500}, 0)), "",
        ),
        (
            Rule("fixed", column="Age", low=23, action="answer", answer={"label": "survived", "probabilities": [0, 1]}),
            Case(ROW, label="survived"), "",
        ),
    ],
)  # fmt: skip
def test_a_case_is_asked_with_the_rules(rule, case, why):
    real = passengers()
    model = Subject("passengers:1", real.bundle, real.subject.model, 0.0, Guard([rule], real.bundle.signature))
    verdict = replay([case], model)
    assert verdict.passed == (not why), verdict
    assert why in str(verdict.evidence)


def test_a_number_is_no_label():
    row = diabetes().kept.drop(columns=["progression"]).iloc[0].astype(float).to_dict()
    assert "use 'between'" in replay([Case(row, label="high")], diabetes().subject).reason
    assert replay([Case(row, between=(0, 1000))], diabetes().subject).passed


def test_recorded_predictions_become_cases():
    """As a server writes them: a matrix without names, and columns with missing values."""
    row = diabetes().kept.drop(columns=["progression"]).iloc[0].astype(float)
    record = {"id": "r1", "model": "diabetes", "inputs": {"input": [row.tolist(), row.tolist()]}, "between": [0, 400]}
    lines = "\n".join(json.dumps(each) for each in (record, {"row": row.to_dict(), "note": "by hand"}))
    first, second, third = read_cases(with_records(lines, diabetes().bundle.signature), "records")
    assert first == second
    assert (first.source, first.note, first.must_pass) == ("production", "prediction r1", True)
    assert first.row == row.to_dict()
    assert third.note == "by hand"
    assert replay([first, third], diabetes().subject).passed
    texts = {"id": "r2", "inputs": {name: [[value]] for name, value in ROW.items()} | {"Age": [[None]]}}
    (case,) = read_cases(with_records(json.dumps(texts), passengers().bundle.signature), "records")
    assert case.row == ROW | {"Age": None}
    assert not case.must_pass
    assert replay([case], passengers().subject).passed
    with pytest.raises(UsageError, match="record 'r2' holds no inputs of this model"):
        with_records(json.dumps(texts), diabetes().bundle.signature)


def test_a_row_of_another_model_is_told():
    assert "unknown column" in replay([Case(ROW, label="benign")], cancer().subject).reason
