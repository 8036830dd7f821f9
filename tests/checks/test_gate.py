"""The gate on real models: what passes, what fails and why, and that it says the same again."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from servable.checks.case import Case
from servable.checks.examples import examples_of
from servable.checks.gate import answer, demands_of
from servable.checks.question import Question
from servable.checks.subject import Subject
from servable.domain.batch import Batch
from servable.domain.demand import parse
from servable.domain.rule import Rule
from servable.errors import UsageError
from servable.rules.guard import Guard
from tests.checks.models import cancer, diabetes, flowers, passengers


def ask(real, *texts, champion=None, **question):
    demands = tuple(map(parse, texts))
    asked = Question(demands, real.examples, **question)
    found = list(answer(asked, real.subject, None if champion is None else champion.subject))
    return {verdict.check: verdict for verdict in found}


def test_metrics_are_those_of_scikit_learn_with_an_interval():
    real = cancer()
    found = ask(real, "accuracy>=0.9", "auc>=0.95", "recall(malignant)>=0.8", "f1>=0.9", "log_loss<=0.5", "brier<=0.1")
    truth = (real.kept[real.label] == "malignant").to_numpy()
    score = real.subject.answer(real.examples.batch).scores[:, 1]
    assert found["auc>=0.95"].numbers["value"] == pytest.approx(metrics.roc_auc_score(truth, score))
    assert found["brier<=0.1"].numbers["value"] == pytest.approx(metrics.brier_score_loss(truth, score), rel=1e-5)
    assert found["recall(malignant)>=0.8"].numbers["value"] == pytest.approx(metrics.recall_score(truth, score >= 0.5))
    for verdict in found.values():
        assert verdict.passed
        if "limit" in verdict.numbers:
            assert verdict.numbers["low"] <= verdict.numbers["value"] <= verdict.numbers["high"]


def test_surely_is_asked_of_the_interval():
    found = ask(cancer(), "accuracy>=0.95", "accuracy>=0.95 surely")
    assert found["accuracy>=0.95"].passed
    assert not found["accuracy>=0.95 surely"].passed


def test_slices_of_few_rows_are_shown_and_not_judged():
    real = cancer()
    (found,) = [v for v in ask(real, "accuracy>=0.5 by hospital, worst area").values() if "accuracy" in v.check]
    parts = {part["slice"]: part for part in found.evidence["slices"]}
    assert len(parts) == 1 + 3 + 4
    assert {part["passed"] for part in parts.values()} == {True, None}
    assert sum(part["rows"] for name, part in parts.items() if "hospital" in name) == len(real.kept)
    assert "not judged" in found.reason


def test_a_slice_that_fails_fails_the_check():
    real = passengers()
    found = ask(real, "recall>=0.6 by Sex")["recall>=0.6 by Sex"]
    assert not found.passed
    assert "Sex = male" in found.reason


def test_a_worse_model_is_worse_than_its_champion():
    found = ask(cancer(3, 1), champion=cancer())["accuracy not worse"]
    assert not found.passed
    assert found.numbers["high"] < -0.01
    assert found.numbers["mcnemar_p"] < 0.05
    assert found.numbers["became_wrong"] > found.numbers["became_right"]


def test_a_model_is_not_worse_than_itself():
    found = ask(cancer(), "auc not worse within 0", "log_loss not worse by hospital", champion=cancer())
    assert all(verdict.passed for verdict in found.values())


def test_a_small_difference_is_known_better_on_the_same_rows():
    """Paired, a gap of AUC has an interval narrower than either model's own."""
    found = ask(cancer(40), "auc>=0.9", "auc not worse within 0.01", champion=cancer())
    paired, alone = found["auc not worse within 0.01"].numbers, found["auc>=0.9"].numbers
    assert paired["high"] - paired["low"] < (alone["high"] - alone["low"]) / 2


def test_many_classes_and_numbers():
    three = ask(flowers(), "accuracy>=0.9", "auc>=0.9", "f1>=0.9", "precision(virginica)>=0.8", "ece<=0.5")
    assert all(verdict.passed for verdict in three.values())
    numbers = ask(diabetes(), "rmse<=80", "r2>=0.2", "mae<=60", "mape<=1", "bias<=20", champion=diabetes())
    assert all(verdict.passed for verdict in numbers.values())
    assert "rmse not worse" in numbers


def test_expectations():
    found = ask(
        cancer(), "rises with worst area for 90%", "rises with worst area",
        "probability(benign) falls with worst area for 90%", "falls with worst area for 90%",
        "invariant to worst area within 0.01", "invariant to mean symmetry within 0.2 for 90%",
    )  # fmt: skip
    assert [verdict.passed for verdict in found.values()][1:7] == [True, False, True, False, False, True]
    assert found["invariant to worst area within 0.01"].evidence["rows"][0]["moved"] > 0.01
    falls = found["rises with worst area"].evidence["rows"][0]
    assert falls["from"] < falls["to"]
    assert falls["answers"][0] > falls["answers"][1]


def test_budgets():
    found = ask(cancer(), "p50_ms<=1000", "p99_ms<=0.0000001", "size_mb<=10", "load_s<=60")
    assert [found[check].passed for check in ("p50_ms<=1000", "size_mb<=10", "load_s<=60")] == [True] * 3
    assert not found["p99_ms<=0.0000001"].passed


def test_cases_that_must_pass_decide():
    row = {name: float(value) for name, value in cancer().kept.drop(columns=["diagnosis", "hospital"]).iloc[0].items()}
    right = cancer().kept["diagnosis"].iloc[0]
    good = ask(cancer(), cases=[Case(row, label=right), Case(row, label="other", must_pass=False)])
    assert good["regression suite"].passed
    assert "of 1 others 1 fail" in good["regression suite"].reason
    bad = ask(cancer(), cases=[Case(row, label="other")])["regression suite"]
    assert not bad.passed
    assert bad.evidence["failed"][0]["got"].startswith(f"it answers {right!r}")


def test_rows_that_belong_together_say_less():
    """Each row ten times over is no more evidence than each row once."""
    real = cancer()
    table = pd.concat([real.kept.assign(patient=range(len(real.kept)))] * 10)
    copies = examples_of(table, real.bundle.signature, real.label)
    demands = tuple(map(parse, ("accuracy>=0.9", "auc>=0.9", "f1>=0.9")))
    asked = {"once": (None, real.examples), "copies": (None, copies), "patients": ("patient", copies)}
    widths = {}
    for name, (cluster, examples) in asked.items():
        found = answer(Question(demands, examples, cluster=cluster), real.subject)
        widths[name] = {v.check: v.numbers["high"] - v.numbers["low"] for v in found if "limit" in v.numbers}
    for check, once in widths["once"].items():
        assert widths["copies"][check] < 0.5 * once
        assert widths["patients"][check] == pytest.approx(once, rel=0.25)


def test_calibration_and_changes_know_of_clusters_too():
    real = cancer()
    table = real.kept.assign(patient=range(len(real.kept)))
    found = []
    for times in (1, 10):
        rows = examples_of(pd.concat([table] * times), real.bundle.signature, real.label)
        told = answer(Question((), rows, cluster="patient"), real.subject, real.subject)
        found.append({verdict.check: verdict.numbers for verdict in told})
    once, copies = found
    for number in ("value", "low", "high", "p"):
        assert copies["calibration"][number] == pytest.approx(once["calibration"][number], abs=0.02)
    assert copies["calibration"]["rows"] == 10 * once["calibration"]["rows"]


def saved(real):
    """What says of anybody that they are of the second class, for sure."""
    classes = real.subject.answer(real.examples.batch).classes
    outputs = real.bundle.signature.outputs
    return {field.name: classes[1] if field.datatype == "BYTES" else [0.0, 1.0] for field in outputs}


def test_metrics_are_of_what_is_served():
    """A rule answers for some rows, refuses others: right and wrong are the answers that clients get."""
    real = passengers()
    age = real.kept["Age"].to_numpy()
    label = real.kept[real.label].astype(str).to_numpy()
    rules = [
        Rule("child", column="Age", low=10, action="answer", answer=saved(real)),
        Rule("old", column="Age", high=60, action="refuse"),
    ]
    model = Subject("passengers:1", real.bundle, real.subject.model, 0.0, Guard(rules, real.bundle.signature))
    verdicts = {v.check: v for v in answer(Question((parse("accuracy>=0.1"),), real.examples), model)}
    told = real.subject.answer(real.examples.batch)
    served = np.where(age < 10, told.classes[1], np.array(told.classes)[told.chosen])
    kept = ~(age > 60)
    assert verdicts["accuracy>=0.1"].numbers["value"] == pytest.approx((served == label)[kept].mean())
    assert verdicts["rules"].numbers == {
        "child": (age < 10).sum(), "old": (age > 60).sum(), "refused": (age > 60).sum(),
    }  # fmt: skip
    assert f"{(age > 60).sum()} are refused, and metrics are of the others" in verdicts["rules"].reason


def test_versions_are_compared_on_the_rows_that_both_answer():
    real = passengers()
    age = real.kept["Age"].to_numpy()
    old, young = ([Rule("r", column="Age", action="refuse", **limit)] for limit in ({"high": 60}, {"low": 10}))
    one, other = (
        Subject(f"passengers:{n}", real.bundle, real.subject.model, 0.0, Guard(rules, real.bundle.signature))
        for n, rules in enumerate((old, young), 1)
    )
    verdicts = {v.check: v for v in answer(Question((parse("accuracy not worse"),), real.examples), one, other)}
    both = int((~(age > 60) & ~(age < 10)).sum())
    assert f"on the same {both} rows" in verdicts["accuracy not worse"].reason
    nobody = [Rule("r", column="Parch", low=1000, action="refuse")]
    none = Subject("passengers:3", real.bundle, real.subject.model, 0.0, Guard(nobody, real.bundle.signature))
    (_, refused) = answer(Question((), real.examples), none)
    assert (refused.passed, refused.reason) == (False, "passengers:3 refuses every row: there is nothing to measure")


def test_what_a_rule_hands_over_is_answered_by_whom_it_names():
    real, rules = passengers(), [Rule("child", column="Age", low=10, action="fallback", fallback="women")]

    class Women:
        concurrent = True

        def predict(self, batch):
            fixed = saved(real)
            return Batch(
                {
                    field.name: np.array([fixed[field.name]] * batch.rows, field.dtype)
                    for field in real.bundle.signature.outputs
                }
            )

        def close(self):
            pass

    model = Subject("passengers:1", real.bundle, real.subject.model, 0.0, Guard(rules, real.bundle.signature))
    model.find = {"women": Subject("women:1", real.bundle, Women(), 0.0)}.__getitem__
    served = model.read(model.serve(real.examples.batch).outputs).chosen
    age = real.kept["Age"].to_numpy()
    assert (served[age < 10] == 1).all()
    assert (served[~(age < 10)] == real.subject.answer(real.examples.batch).chosen[~(age < 10)]).all()


def test_where_nothing_is_demanded_the_usual_metrics_are_told():
    told = ask(diabetes())["metrics"]
    assert told.passed
    assert {"rmse", "mae", "r2"} < set(told.numbers)
    assert {"accuracy", "auc"} < set(ask(flowers())["metrics"].numbers)


def test_rules_tell_how_often_they_would_fire():
    real = passengers()
    rules = [Rule("child", column="Age", low=10), Rule("dear", column="Fare", high=1e6)]
    model = Subject("passengers:1", real.bundle, real.subject.model, 0.0, Guard(rules, real.bundle.signature))
    found = {verdict.check: verdict for verdict in answer(Question((), real.examples), model)}["rules"]
    children = float((real.kept["Age"] < 10).sum())
    assert found.numbers == {"child": children, "refused": 0.0}


def test_what_was_not_shown_is_not_passed():
    real = cancer()
    asked = Question((parse("accuracy>=0.1"), parse("f1 not worse")), None)
    found = [verdict for verdict in answer(asked, real.subject) if verdict.check != "golden rows"]
    assert [verdict.passed for verdict in found] == [False, False]
    assert "--data" in found[0].reason


def test_the_same_again():
    questions = ["f1>=0.5 by hospital", "log_loss<=1", "invariant to mean area within 0.1"]
    assert ask(cancer(), *questions, seed=7) == ask(cancer(), *questions, seed=7)


def test_verdicts_are_plain_json():
    found = ask(passengers(), "recall>=0.1 by Embarked, Age", champion=passengers())
    assert msgspec.json.decode(msgspec.json.encode(found)) == msgspec.to_builtins(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("accuracy>=0.5 by hospitel", "did you mean 'hospital'"),
        ("recall(bad)>=0.5", "no class 'bad': there are 'benign', 'malignant'"),
        ("rmse<=1", "use accuracy, auc or f1"),
        ("rises with nothing", "no column 'nothing'"),
        ("ece not worse", "against a number"),
    ],
)
def test_what_cannot_be_asked_is_said(text, told):
    with pytest.raises(UsageError, match=told):
        ask(cancer(), text, champion=cancer())


def test_demands_are_those_of_the_manifest_and_others():
    bundle = cancer().bundle
    stated = msgspec.structs.replace(bundle.manifest, checks=("accuracy>=0.9",))
    bundle = msgspec.structs.replace(bundle, manifest=stated)
    assert [each.text for each in demands_of(bundle, ["accuracy>=0.9", "auc>=0.9"])] == ["accuracy>=0.9", "auc>=0.9"]
