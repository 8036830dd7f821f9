"""Rows and answers as they come: files of every kind, labels of every type, and what is wrong with them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from servable.bundles.answer import Answer, read_answer
from servable.checks.examples import examples_of, read_examples
from servable.checks.measure import judged
from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import EnvironmentFault, InvalidInput, UsageError
from tests.checks.models import flowers, passengers


@pytest.mark.parametrize("kind", ["csv", "parquet", "feather", "json", "jsonl"])
def test_every_kind_of_file_says_the_same(kind, tmp_path):
    real = passengers()
    path = tmp_path / f"rows.{kind}"
    write = {"csv": "to_csv", "parquet": "to_parquet", "feather": "to_feather", "json": "to_json", "jsonl": "to_json"}
    options = {"csv": {"index": False}, "json": {"orient": "records"}, "jsonl": {"orient": "records", "lines": True}}
    getattr(real.kept, write[kind])(path, **options.get(kind, {}))
    read = read_examples(path, real.bundle.signature, real.label)
    assert read.truth.tolist() == real.examples.truth.tolist()
    for name, array in real.examples.batch.columns.items():
        ours, theirs = (pd.Series(each.ravel()) for each in (read.batch[name], array))
        pd.testing.assert_series_equal(ours, theirs)


def test_what_is_wrong_with_rows(tmp_path):
    real = passengers()
    signature = real.bundle.signature
    with pytest.raises(UsageError, match="did you mean 'survived'"):
        examples_of(real.kept, signature, "survivd")
    with pytest.raises(UsageError, match="1 rows have no 'survived'"):
        examples_of(pd.concat([real.kept, real.kept.iloc[:1].assign(survived=None)]), signature, "survived")
    with pytest.raises(UsageError, match="has no rows"):
        examples_of(real.kept.iloc[:0], signature, None)
    with pytest.raises(InvalidInput, match="sepal length"):
        examples_of(real.kept.drop(columns=["SibSp"]), flowers().bundle.signature, None)
    with pytest.raises(EnvironmentFault, match="No such file"):
        read_examples(tmp_path / "none.csv", signature, None)
    with pytest.raises(UsageError, match=r"expected one of \.csv"):
        read_examples(tmp_path / "rows.txt", signature, None)


def test_slices_hold_every_row_once():
    count = np.arange(len(passengers().kept))
    table = passengers().kept.assign(odd=count % 2 == 1, many=count.astype(str))
    examples = examples_of(table, passengers().bundle.signature, None)
    for column in ("Age", "Sex", "odd", "many", "Embarked", "Parch"):
        rows = np.concatenate([part.rows for part in examples.slices(column)])
        assert sorted(rows) == list(range(len(table)))
    assert [part.name for part in examples.slices("odd")] == ["odd = False", "odd = True"]
    assert examples.slices("Age")[-1].name == "Age is missing"
    assert "other values" in examples.slices("many")[-1].name


def read(*fields: Field, labels=None, **arrays) -> Answer:
    signature = Signature((Field("x", "FP32"),), fields)
    batch = Batch({name: np.asarray(value) for name, value in arrays.items()})
    return read_answer(batch, signature, labels or {})


def test_answers_are_told_by_their_shape():
    texts = np.array(["no", "yes"], object)
    wide = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    known = Field("label", "BYTES"), Field("probabilities", "FP32", (-1, 2), ("no", "yes"))
    both = read(*known, label=texts, probabilities=wide)
    assert both.classes == ("no", "yes")
    assert both.chosen.tolist() == [0, 1]
    assert both.calibrated
    scores = read(Field("logits", "FP32", (-1, 2)), logits=wide * 5)
    assert scores.classes == ("0", "1")
    assert not scores.calibrated
    assert read(Field("y", "INT64"), y=[3, 1]).classes == ("1", "3")
    assert read(Field("y", "FP32", (-1, 1)), y=wide[:, :1]).numbers.tolist() == pytest.approx([0.9, 0.2])
    with pytest.raises(UsageError, match="a class, probabilities of classes, or one number"):
        read(Field("picture", "FP32", (-1, 2, 2)), picture=np.zeros((2, 2, 2), np.float32))


@pytest.mark.parametrize(
    ("truth", "scale", "kind"),
    [
        ([0, 1], 1, "classes"),
        ([0.0, 1.0], 1, "classes"),
        ([0.0, 1.5], 20, "numbers"),
        ([True, False], 1, "classes"),
        ([7, 9, 11], 20, "numbers"),
    ],
)
def test_a_number_is_a_probability_where_the_label_has_two_classes(truth, scale, kind):
    found = judged(Answer(numbers=np.linspace(0.1, 0.9, len(truth)) * scale), np.array(truth))
    assert (found.answer.numbers is None) == (kind == "classes")


def test_a_class_that_the_model_does_not_know_is_always_wrong():
    answer = Answer(("a", "b"), np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), calibrated=True)
    found = judged(answer, ["a", "c"])
    assert found.answer.classes == ("a", "b", "c")
    assert found.truth.tolist() == [0, 2]
    with pytest.raises(UsageError, match="the label is one of 'x'"):
        judged(answer, ["x", "y"])


@pytest.mark.parametrize("written", [False, True])
def test_moments_that_hardly_any_rows_share_are_cut_into_stretches(written):
    """Of 1000 readings of one sensor: ten neighbours in each, whatever their order in the file."""
    moments = pd.date_range("2026-01-01", periods=1000, freq="7min").to_series().sample(frac=1, random_state=1)
    column = moments.dt.strftime("%Y-%m-%dT%H:%M:%S").to_numpy() if written else moments.to_numpy()
    real = passengers()
    table = pd.concat([real.kept] * 3).iloc[:1000].assign(when=column)
    codes = examples_of(table, real.bundle.signature, real.label).clusters("when")
    order = np.argsort(moments.to_numpy())
    assert (np.diff(codes[order]) >= 0).all()
    assert np.bincount(codes).tolist() == [10] * 100


def test_days_that_many_rows_share_are_groups_of_their_own():
    real = passengers()
    days = [f"2026-01-0{1 + row % 7}" for row in range(len(real.kept))]
    codes = examples_of(real.kept.assign(day=days), real.bundle.signature, real.label).clusters("day")
    assert [len(set(codes[row::7])) for row in range(7)] == [1] * 7
    assert len(set(codes)) == 7
