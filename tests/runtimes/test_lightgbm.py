"""LightGBM's own text files: every objective as its estimators answer, categories by text, thresholds in float64."""

import msgspec
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import BundleError, IncompatibleModel
from servable.runtimes.find import recognise, runtime

pytestmark = pytest.mark.filterwarnings("default")

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
HOW = {"n_estimators": 8, "verbose": -1, "n_jobs": 1}

MODELS = {
    "binary": (LGBMClassifier(**HOW), *CANCER),
    "several classes": (LGBMClassifier(**HOW), *IRIS),
    "one against all": (LGBMClassifier(objective="multiclassova", **HOW), *IRIS),
    "dropped trees": (LGBMClassifier(boosting_type="dart", **HOW), *CANCER),
    "regression": (LGBMRegressor(**HOW), *DIABETES),
    "counts": (LGBMRegressor(objective="poisson", **HOW), *DIABETES),
    "linear leaves": (LGBMRegressor(linear_tree=True, **HOW), *DIABETES),
}


def opened(model, path, **options):
    path.write_text(model.booster_.model_to_string())
    bundle = open_bundle(path)
    bundle = msgspec.structs.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, options=options))
    return bundle, runtime("lightgbm").load(bundle)


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_answers_as_its_estimator_does(name, tmp_path):
    model, data, target = MODELS[name]
    model.fit(data, target)
    bundle, loaded = opened(model, tmp_path / "m.txt")
    found = loaded.predict(Batch({"input": data}))
    assert bundle.signature.check_outputs(found) == []
    (first, *rest) = found.columns
    np.testing.assert_allclose(found[first], model.predict(data), rtol=1e-12)
    if rest:
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(data), rtol=1e-12)


def test_a_ranker_gives_a_number_a_row(tmp_path):
    data, target = CANCER
    model = LGBMRanker(**HOW).fit(data, target, group=[len(data) - 200, 200])
    _, loaded = opened(model, tmp_path / "rank.txt")
    np.testing.assert_allclose(loaded.predict(Batch({"input": data}))["prediction"], model.predict(data))


def test_a_value_at_a_threshold_goes_where_it_went_in_training(tmp_path):
    """In float32 it could go the other way: the input is float64."""
    random = np.random.default_rng(0)
    data = random.choice(random.random(40), (2000, 1))
    target = data[:, 0] * 10
    model = LGBMRegressor(min_child_samples=1, **HOW).fit(data, target)
    known = np.unique(data)
    halves = ((known[:-1] + known[1:]) / 2).reshape(-1, 1)
    rows = np.concatenate([halves, np.nextafter(halves, 0), np.nextafter(halves, 1)])
    bundle, loaded = opened(model, tmp_path / "edge.txt")
    assert bundle.signature.inputs[0].datatype == "FP64"
    np.testing.assert_array_equal(loaded.predict(Batch({"input": rows}))["prediction"], model.predict(rows))


def patients():
    data = load_diabetes(as_frame=True, scaled=False)
    table = data.data[["age", "bmi"]].copy()
    table["blood group"] = pd.Categorical(np.where(data.data["sex"] > 1, "A", "0"))
    table["ward"] = pd.Categorical((data.data["s1"] // 50 * 3).astype(int))
    table.loc[::5, "bmi"] = np.nan
    table.loc[::9, "blood group"] = np.nan
    return table, np.where(data.target > 140, "worse", "better")


def as_batch(table, names):
    columns = {}
    for name, column in zip(names, table, strict=True):
        if str(table[column].dtype) == "category":
            values = [None if pd.isna(value) else str(value) for value in table[column]]
            columns[name] = np.array(values, object).reshape(-1, 1)
        else:
            columns[name] = table[[column]].to_numpy(np.float64)
    return Batch(columns, len(table))


def test_categories_are_text_and_their_numbers_those_of_training(tmp_path):
    table, target = patients()
    model = LGBMClassifier(**HOW).fit(table, target)
    bundle, loaded = opened(model, tmp_path / "patients.txt")
    names = [field.name for field in bundle.signature.inputs]
    assert names == ["age", "bmi", "blood_group", "ward"]
    assert bundle.signature.inputs[2].categories == ("0", "A")
    assert bundle.signature.inputs[3].categories == tuple(map(str, table["ward"].cat.categories))
    batch = as_batch(table, names)
    assert bundle.signature.check(batch) == []
    np.testing.assert_allclose(loaded.predict(batch)["probabilities"], model.predict_proba(table), rtol=1e-12)


def test_names_and_classes_that_the_file_lost_come_from_the_manifest(tmp_path):
    table, target = patients()
    model = LGBMClassifier(**HOW).fit(table, target)
    (tmp_path / "m.txt").write_text(model.booster_.model_to_string())
    bundle = open_bundle(tmp_path / "m.txt")
    fields = [
        msgspec.structs.replace(field, name=name) for field, name in zip(bundle.signature.inputs, table, strict=True)
    ]
    label = msgspec.structs.replace(bundle.signature.outputs[0], datatype="BYTES")
    signature = msgspec.structs.replace(
        bundle.signature, inputs=tuple(fields), outputs=(label, bundle.signature.outputs[1])
    )
    options = {"features": list(table.columns), "classes": ["better", "worse"]}
    manifest = msgspec.structs.replace(bundle.manifest, signature=signature, options=options)
    loaded = runtime("lightgbm").load(msgspec.structs.replace(bundle, manifest=manifest))
    found = loaded.predict(as_batch(table, table.columns))
    assert found["label"].tolist() == model.predict(table).tolist()


def test_a_format_newer_than_is_known_is_refused(tmp_path):
    text = MODELS["binary"][0].fit(*CANCER).booster_.model_to_string()
    (tmp_path / "new.txt").write_text(text.replace("version=v4", "version=v5", 1))
    with pytest.raises(IncompatibleModel, match=r"v5.*v4"):
        open_bundle(tmp_path / "new.txt")


def test_a_file_cut_anywhere_is_corrupt_or_unknown(tmp_path):
    raw = MODELS["several classes"][0].fit(*IRIS).booster_.model_to_string().encode()
    for share in range(0, 95, 5):
        (tmp_path / "cut").write_bytes(raw[: len(raw) * share // 100])
        with pytest.raises(BundleError):
            recognise(tmp_path / "cut").inspect(tmp_path / "cut")


@pytest.mark.parametrize(
    ("old", "new"),
    [("max_feature_idx=29", "max_feature_idx=28"), ("feature_names=", "names="), ("tree_sizes=", "tree_sizes=1 ")],
)
def test_a_header_that_contradicts_the_file_is_corrupt(old, new, tmp_path):
    text = MODELS["binary"][0].fit(*CANCER).booster_.model_to_string()
    assert old in text
    (tmp_path / "odd.txt").write_text(text.replace(old, new, 1))
    with pytest.raises(BundleError, match="odd"):
        open_bundle(tmp_path / "odd.txt")
