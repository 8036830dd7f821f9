"""XGBoost's own files: every objective as its estimators answer, categories by text, files newer than the library."""

import json

import msgspec
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import BundleError, CorruptModel, IncompatibleModel
from servable.runtimes.find import recognise, runtime
from servable.runtimes.xgboost_file import read

pytestmark = pytest.mark.filterwarnings("default")

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def opened(model, path):
    model.save_model(path)
    bundle = open_bundle(path)
    return bundle, runtime("xgboost").load(bundle)


def classifier(**how):
    return xgboost.XGBClassifier(n_estimators=8, n_jobs=1, **how)


def regressor(**how):
    return xgboost.XGBRegressor(n_estimators=8, n_jobs=1, **how)


MODELS = {
    "binary": (classifier(), *CANCER),
    "several classes": (classifier(), *IRIS),
    "softmax": (classifier(objective="multi:softmax"), *IRIS),
    "hinge": (classifier(objective="binary:hinge"), *CANCER),
    "several labels": (classifier(), CANCER[0], np.column_stack([CANCER[1], 1 - CANCER[1]])),
    "dropped trees": (classifier(booster="dart", rate_drop=0.5), *CANCER),
    "regression": (regressor(), *DIABETES),
    "several targets": (regressor(), DIABETES[0], np.column_stack([DIABETES[1], -DIABETES[1]])),
    "counts": (regressor(objective="count:poisson"), *DIABETES),
    "linear": (regressor(booster="gblinear", learning_rate=0.1), *DIABETES),
    "quantiles": (
        regressor(objective="reg:quantileerror", quantile_alpha=np.array([0.1, 0.5, 0.9])),
        *DIABETES,
    ),
}


@pytest.mark.parametrize("kind", ["json", "ubj"])
@pytest.mark.parametrize("name", MODELS)
def test_every_kind_answers_as_its_estimator_does(name, kind, tmp_path):
    model, data, target = MODELS[name]
    model.fit(data, target)
    bundle, loaded = opened(model, tmp_path / f"m.{kind}")
    found = loaded.predict(Batch({"input": data.astype(np.float32)}))
    assert bundle.signature.check_outputs(found) == []
    (first, *rest) = found.columns
    np.testing.assert_allclose(found[first], model.predict(data), rtol=1e-5)
    if rest:
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(data), rtol=1e-5, atol=1e-6)


def test_trees_after_the_best_do_not_count(tmp_path):
    data, target = CANCER
    noise = np.random.default_rng(0).integers(0, 2, len(target))
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, n_jobs=1)
    model.fit(data[:300], target[:300], eval_set=[(data[300:], noise[300:])], verbose=False)
    assert model.best_iteration < model.get_booster().num_boosted_rounds() - 1
    _, loaded = opened(model, tmp_path / "early.ubj")
    found = loaded.predict(Batch({"input": data.astype(np.float32)}))
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(data), atol=1e-6)


@pytest.mark.parametrize("kind", ["json", "ubj"])
def test_a_file_newer_than_the_library_names_both(kind, tmp_path):
    """It would load without a word, and a model with dropped trees would predict wrong."""
    model = classifier(booster="dart", rate_drop=0.5).fit(*CANCER)
    path = tmp_path / f"new.{kind}"
    model.save_model(path)
    major, minor, _ = (int(part) for part in xgboost.__version__.split(".")[:3])
    if kind == "json":
        document = json.loads(path.read_text())
        document["version"] = [major, minor + 1, 0]
        path.write_text(json.dumps(document))
    else:
        raw = path.read_bytes()
        at = raw.rindex(b"version") + len(b"version[#L") + 8
        assert raw[at : at + 4] == bytes([ord("i"), major, ord("i"), minor])
        path.write_bytes(raw[: at + 3] + bytes([minor + 1]) + raw[at + 4 :])
    with pytest.raises(IncompatibleModel) as caught:
        open_bundle(path)
    assert f"{major}.{minor + 1}.0" in caught.value.message
    assert xgboost.__version__ in caught.value.message


def patients():
    data = load_diabetes(as_frame=True, scaled=False)
    table = data.data[["age", "bmi"]].copy()
    table["sex"] = pd.Categorical(np.where(data.data["sex"] > 1, "female", "male"))
    table["ward"] = pd.Categorical((data.data["s1"] // 50 * 3).astype(int))
    table.loc[::5, "bmi"] = np.nan
    table.loc[::9, "sex"] = np.nan
    return table, (data.target > 140).astype(int)


def as_batch(table):
    columns = {name: table[[name]].to_numpy(np.float32) for name in ("age", "bmi")}
    for name in ("sex", "ward"):
        values = [None if pd.isna(value) else str(value) for value in table[name]]
        columns[name] = np.array(values, object).reshape(-1, 1)
    return Batch(columns, len(table))


def test_categories_are_text_and_their_numbers_those_of_training(tmp_path):
    table, target = patients()
    model = classifier(enable_categorical=True).fit(table, target)
    bundle, loaded = opened(model, tmp_path / "patients.json")
    by_name = {field.name: field for field in bundle.signature.inputs}
    assert by_name["sex"].categories == ("female", "male")
    assert by_name["ward"].categories == tuple(map(str, table["ward"].cat.categories))
    batch = as_batch(table)
    assert bundle.signature.check(batch) == []
    np.testing.assert_allclose(loaded.predict(batch)["probabilities"], model.predict_proba(table), atol=1e-6)


def test_categories_in_another_order_mean_the_same(tmp_path):
    table, target = patients()
    _, loaded = opened(classifier(enable_categorical=True).fit(table, target), tmp_path / "a.ubj")
    turned = table.assign(sex=table["sex"].cat.reorder_categories(["male", "female"]))[["ward", "sex", "bmi", "age"]]
    found = loaded.predict(as_batch(turned))
    np.testing.assert_array_equal(found["probabilities"], loaded.predict(as_batch(table))["probabilities"])


def test_a_number_with_a_point_is_no_category(tmp_path):
    """8.0 for "8" is what pandas makes of a column with gaps: a silent wrong score elsewhere, an error here."""
    table, target = patients()
    bundle, _ = opened(classifier(enable_categorical=True).fit(table, target), tmp_path / "a.ubj")
    batch = as_batch(table.head(1))
    batch.columns["ward"][0, 0] = "6.0"
    (fault,) = bundle.signature.check(batch)
    assert "6.0" in fault.got
    assert "one of" in fault.expected


def test_without_categories_in_the_contract_an_unseen_one_is_missing(tmp_path):
    table, target = patients()
    bundle, _ = opened(classifier(enable_categorical=True).fit(table, target), tmp_path / "a.ubj")
    loose = tuple(msgspec.structs.replace(field, categories=()) for field in bundle.signature.inputs)
    signature = msgspec.structs.replace(bundle.signature, inputs=loose)
    manifest = msgspec.structs.replace(bundle.manifest, signature=signature)
    loaded = runtime("xgboost").load(msgspec.structs.replace(bundle, manifest=manifest))
    answers = []
    for value in ("other", None):
        batch = as_batch(table.head(3))
        batch.columns["sex"][:] = value
        answers.append(loaded.predict(batch)["probabilities"])
    np.testing.assert_array_equal(*answers)


def test_columns_go_by_name_not_by_position(tmp_path):
    data = load_breast_cancer(as_frame=True).data
    model = classifier().fit(data, CANCER[1])
    bundle, loaded = opened(model, tmp_path / "named.json")
    (field,) = bundle.signature.inputs
    assert field.features == tuple(data.columns)
    turned = msgspec.structs.replace(field, features=field.features[::-1])
    signature = msgspec.structs.replace(bundle.signature, inputs=(turned,))
    other = msgspec.structs.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, signature=signature))
    rows = data.to_numpy(np.float32)
    found = runtime("xgboost").load(other).predict(Batch({"input": rows[:, ::-1]}))
    np.testing.assert_array_equal(found["probabilities"], loaded.predict(Batch({"input": rows}))["probabilities"])


def test_a_feature_that_no_input_holds_is_named(tmp_path):
    table, target = patients()
    bundle, _ = opened(classifier(enable_categorical=True).fit(table, target), tmp_path / "a.ubj")
    signature = msgspec.structs.replace(bundle.signature, inputs=bundle.signature.inputs[1:])
    wrong = msgspec.structs.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, signature=signature))
    with pytest.raises(CorruptModel, match="'age'"):
        runtime("xgboost").load(wrong)


@pytest.mark.parametrize("kind", ["json", "ubj"])
def test_a_file_cut_anywhere_is_corrupt_or_unknown(kind, tmp_path):
    classifier().fit(*IRIS).save_model(tmp_path / f"whole.{kind}")
    raw = (tmp_path / f"whole.{kind}").read_bytes()
    for share in range(0, 100, 5):
        (tmp_path / "cut").write_bytes(raw[: len(raw) * share // 100])
        with pytest.raises(BundleError):
            recognise(tmp_path / "cut").inspect(tmp_path / "cut")


def test_both_encodings_say_the_same(tmp_path):
    table, target = patients()
    model = classifier(enable_categorical=True).fit(table, target)
    model.save_model(tmp_path / "a.json")
    model.save_model(tmp_path / "a.ubj")
    assert recognise(tmp_path / "a.json").name == recognise(tmp_path / "a.ubj").name == "xgboost"
    said = [read((tmp_path / name).read_bytes(), name) for name in ("a.json", "a.ubj")]
    assert said[0] == said[1]
