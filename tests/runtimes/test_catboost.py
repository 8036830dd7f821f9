"""CatBoost's own binary files: every loss as its estimators answer, categories as text, none of them missing."""

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier, CatBoostRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import BundleError, IncompatibleModel
from servable.runtimes import catboost as module
from servable.runtimes.find import recognise, runtime

pytestmark = pytest.mark.filterwarnings("default")

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
HOW = {"iterations": 8, "verbose": 0, "allow_writing_files": False, "thread_count": 1}

MODELS = {
    "binary": (CatBoostClassifier(**HOW), *CANCER),
    "yes or no": (CatBoostClassifier(**HOW), CANCER[0], np.where(CANCER[1] == 1, "yes", "no")),
    "several classes": (CatBoostClassifier(**HOW), IRIS[0], NAMES[IRIS[1]]),
    "several labels": (
        CatBoostClassifier(loss_function="MultiLogloss", **HOW),
        CANCER[0],
        np.column_stack([CANCER[1], 1 - CANCER[1]]),
    ),
    "regression": (CatBoostRegressor(**HOW), *DIABETES),
    "counts": (CatBoostRegressor(loss_function="Poisson", **HOW), *DIABETES),
    "with its doubt": (CatBoostRegressor(loss_function="RMSEWithUncertainty", **HOW), *DIABETES),
    "several targets": (
        CatBoostRegressor(loss_function="MultiRMSE", **HOW),
        DIABETES[0],
        np.column_stack([DIABETES[1], -DIABETES[1]]),
    ),
}


def opened(model, path):
    model.save_model(str(path))
    bundle = open_bundle(path)
    return bundle, runtime("catboost").load(bundle)


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_answers_as_its_estimator_does(name, tmp_path):
    model, data, target = MODELS[name]
    model.fit(data, target)
    bundle, loaded = opened(model, tmp_path / "m.cbm")
    found = loaded.predict(Batch({"input": data.astype(np.float32)}))
    assert bundle.signature.check_outputs(found) == []
    (first, *rest) = found.columns
    expected = np.asarray(model.predict(data))
    expected = expected[:, 0] if expected.ndim == 2 and expected.shape[1] == 1 else expected
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found[first], expected, rtol=1e-12)
    else:
        assert found[first].tolist() == expected.tolist()
    if rest:
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(data), rtol=1e-12)


def test_a_threshold_of_its_own_is_honoured(tmp_path):
    model = CatBoostClassifier(**HOW).fit(*CANCER)
    model.set_probability_threshold(0.9)
    _, loaded = opened(model, tmp_path / "strict.cbm")
    rows = CANCER[0].astype(np.float32)
    found = loaded.predict(Batch({"input": rows}))
    assert found["label"].tolist() == (model.predict_proba(rows)[:, 1] > 0.9).astype(int).tolist()
    assert found["label"].tolist() == model.predict(rows).astype(int).tolist()


def patients():
    data = load_diabetes(as_frame=True, scaled=False)
    table = data.data[["age", "bmi"]].copy()
    table.insert(0, "sex", np.where(data.data["sex"] > 1, "female", "male"))
    table["ward"] = (data.data["s1"] // 50 * 3).astype(int)
    table.loc[::5, "bmi"] = np.nan
    return table, np.where(data.target > 140, "worse", "better")


def as_batch(table):
    columns = {name: table[[name]].to_numpy(np.float32) for name in ("age", "bmi")}
    columns["sex"] = np.array(table[["sex"]], object)
    columns["ward"] = np.array(table[["ward"]].astype(str), object)
    return Batch(columns, len(table))


@pytest.mark.parametrize("chosen", [["sex", "ward"], [0, 3]])
def test_categories_by_name_or_by_place_are_text(chosen, tmp_path):
    table, target = patients()
    model = CatBoostClassifier(cat_features=chosen, **HOW).fit(table, target)
    bundle, loaded = opened(model, tmp_path / "patients.cbm")
    assert [field.datatype for field in bundle.signature.inputs] == ["BYTES", "FP32", "FP32", "BYTES"]
    batch = as_batch(table)
    assert bundle.signature.check(batch) == []
    np.testing.assert_allclose(loaded.predict(batch)["probabilities"], model.predict_proba(table), rtol=1e-12)


def test_a_category_cannot_be_missing_and_an_unseen_one_can_be_asked(tmp_path):
    table, target = patients()
    model = CatBoostClassifier(cat_features=["sex", "ward"], **HOW).fit(table, target)
    bundle, loaded = opened(model, tmp_path / "patients.cbm")
    batch = as_batch(table.head(2))
    batch.columns["sex"][0, 0] = None
    (fault,) = bundle.signature.check(batch)
    assert fault.field == "sex"
    unseen = table.head(2).assign(sex="other")
    np.testing.assert_allclose(loaded.predict(as_batch(unseen))["probabilities"], model.predict_proba(unseen))


def test_text_features_are_refused(tmp_path):
    table = pd.DataFrame({"said": ["good day", "bad day", "good night", "bad night"] * 20, "n": range(80)})
    model = CatBoostClassifier(text_features=["said"], **HOW).fit(table, [1, 0, 1, 0] * 20)
    model.save_model(str(tmp_path / "text.cbm"))
    with pytest.raises(IncompatibleModel, match="text"):
        open_bundle(tmp_path / "text.cbm")


def test_a_file_newer_than_the_library_names_both(tmp_path, monkeypatch):
    model = CatBoostClassifier(**HOW).fit(*CANCER)
    model.save_model(str(tmp_path / "new.cbm"))
    import catboost

    monkeypatch.setattr(catboost, "__version__", "1.0.6")
    with pytest.raises(IncompatibleModel, match=r"1\.0\.6"):
        open_bundle(tmp_path / "new.cbm")
    assert module.CatBoostRuntime.name == "catboost"


def test_a_file_cut_anywhere_is_corrupt_or_unknown(tmp_path):
    CatBoostClassifier(**HOW).fit(*IRIS).save_model(str(tmp_path / "whole.cbm"))
    raw = (tmp_path / "whole.cbm").read_bytes()
    for share in range(0, 100, 5):
        (tmp_path / "cut").write_bytes(raw[: len(raw) * share // 100])
        with pytest.raises(BundleError):
            recognise(tmp_path / "cut").inspect(tmp_path / "cut")
