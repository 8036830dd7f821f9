import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import servable
from servable.errors import DigestMismatch, IncompatibleModel, InvalidInput, ModelFailed, NotFound, UnknownFormat
from tests.bundles.real import pipeline, titanic
from tests.packed import bundle_at, scaler

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    data = load_iris(as_frame=True)
    model = LogisticRegression(max_iter=1000).fit(data.data, data.target_names[data.target])
    folder = tmp_path_factory.mktemp("iris") / "iris"
    servable.pack(model, name="iris", sample=data.data, output=folder)
    with servable.load(folder) as predictor:
        yield predictor, data.data, model


def test_a_frame_gives_a_frame_with_its_index(iris):
    predictor, data, model = iris
    rows = data.sample(20, random_state=0)
    found = predictor.predict(rows)
    assert list(found.columns) == [
        "label", "probabilities_setosa", "probabilities_versicolor", "probabilities_virginica"
    ]  # fmt: skip
    assert found.index.tolist() == rows.index.tolist()
    assert found["label"].tolist() == model.predict(rows).tolist()


def test_arrays_give_arrays(iris):
    predictor, data, model = iris
    found = predictor.predict({"input": data.to_numpy()})
    assert found["label"].tolist() == model.predict(data).tolist()
    assert found["probabilities"].shape == (150, 3)
    again = predictor.predict(data.to_numpy())
    np.testing.assert_array_equal(again["probabilities"], found["probabilities"])
    assert predictor.predict({"input": data.to_numpy()[:0]})["label"].shape == (0,)


def test_it_says_what_it_is(iris):
    predictor, _, _ = iris
    assert predictor.name == "iris"
    assert predictor.signature is predictor.bundle.signature
    assert repr(predictor) == "Predictor('iris', onnx; input FP32 [-1, 4])"


def test_every_fault_is_told_with_an_example(iris):
    predictor, data, _ = iris
    with pytest.raises(InvalidInput) as caught:
        predictor.predict({"inputs": data.to_numpy()})
    assert len(caught.value.detail["faults"]) == 2
    assert caught.value.detail["example"] == {"input": [[0.0] * 4]}
    with pytest.raises(InvalidInput, match=r"shape \[-1, 4\]"):
        predictor.predict({"input": np.zeros((2, 3))})
    with pytest.raises(InvalidInput, match="finite"):
        predictor.predict({"input": np.full((1, 4), np.nan)})
    with pytest.raises(InvalidInput, match="FP32"):
        predictor.predict({"input": np.full((1, 4), "a")})


@pytest.fixture(scope="module")
def passengers(tmp_path_factory):
    table, survived = titanic()
    chosen = table[["Age", "Sex", "SibSp"]]
    model = pipeline(LogisticRegression(), ["Age", "SibSp"], ["Sex"]).fit(chosen, survived)
    folder = tmp_path_factory.mktemp("passengers") / "t"
    servable.pack(model, name="t", sample=chosen, output=folder)
    with servable.load(folder) as predictor:
        yield predictor, chosen.head(3)


def test_lists_flat_columns_and_rows_fit(passengers):
    predictor, rows = passengers
    expected = predictor.predict(rows)["label"].tolist()
    flat = {name: rows[name].tolist() for name in rows}
    assert predictor.predict(flat)["label"].tolist() == expected
    assert predictor.predict(rows.to_dict("records"))["label"].tolist() == expected
    assert predictor.predict({**flat, "Age": [22, 38, 26]})["label"].tolist() == expected
    assert predictor.predict({"Sex": [None], "SibSp": [1]})["label"].shape == (1,)
    assert predictor.predict({"Age": [None, 5], "Sex": ["male"] * 2, "SibSp": [1, 1]})["label"].shape == (2,)
    with pytest.raises(InvalidInput, match="differ in their number of rows"):
        predictor.predict({**flat, "Age": [1.0]})
    with pytest.raises(InvalidInput, match="'SibSp'"):
        predictor.predict({**flat, "SibSp": [0.5, 1.0, 1.0]})


def test_what_only_looks_like_numbers_is_refused(passengers):
    """A moment has a number behind it, and a whole number that does not fit becomes another: answers to neither."""
    predictor, rows = passengers
    with pytest.raises(InvalidInput, match=r"'Age'.*dates or times"):
        predictor.predict(rows.assign(Age=pd.Timestamp("2026-01-01")))
    with pytest.raises(InvalidInput, match=r"'SibSp': expected numbers that fit INT64, got 18446744073709551615"):
        predictor.predict({"Age": [1.0], "Sex": ["male"], "SibSp": np.array([2**64 - 1], np.uint64)})


def test_what_is_no_table_is_told_what_would_be_one(passengers):
    predictor, rows = passengers
    for data in None, "text", rows.iloc[0], rows.to_numpy(), [[1.0, 2.0]]:
        with pytest.raises(InvalidInput, match=r"expected a DataFrame, a list of rows .*'Age', 'Sex', 'SibSp'"):
            predictor.predict(data)
    with pytest.raises(InvalidInput, match=r"'Sex'.*2 columns of the name"):
        predictor.predict(pd.concat([rows, rows[["Sex"]]], axis=1))
    with pytest.raises(InvalidInput) as caught:
        predictor.predict(rows.assign(**{f"more {number}": 1 for number in range(60)}))
    assert len(caught.value.detail["faults"]) == 20


def test_a_bare_file_is_loaded_too(tmp_path):
    scaler(tmp_path / "twice.onnx")
    with servable.load(tmp_path / "twice.onnx") as predictor:
        assert predictor.predict({"x": np.ones((1, 2))})["y"].tolist() == [[2, 2]]


def test_what_is_wrong_is_not_loaded(tmp_path, iris):
    with pytest.raises(NotFound, match="absent"):
        servable.load(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownFormat):
        servable.load(tmp_path / "empty")
    folder = bundle_at(tmp_path / "b")
    scaler(folder / "model.onnx", 3.0)
    with pytest.raises(DigestMismatch):
        servable.load(folder)


def test_golden_rows_are_asked_before_it_is_handed_over(tmp_path, iris):
    """The same bytes under a library that answers otherwise."""
    from servable.runtimes.onnx import OnnxModel

    predictor, _, _ = iris
    right = OnnxModel.predict

    def wrong(self, batch):
        found = right(self, batch)
        found.columns["probabilities"] = found.columns["probabilities"] + np.float32(0.1)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnnxModel, "predict", wrong)
        with pytest.raises(IncompatibleModel, match=r"golden rows.*scikit-learn 1"):
            servable.load(predictor.bundle.folder)


def test_closed_it_answers_no_more(tmp_path):
    scaler(tmp_path / "twice.onnx")
    with servable.load(tmp_path / "twice.onnx") as predictor:
        pass
    with pytest.raises(ModelFailed, match="closed"):
        predictor.predict({"x": np.ones((1, 2))})
