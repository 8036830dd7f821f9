"""Packing on numbers: an estimator becomes ONNX where that is proven equal, and stays itself where it is not."""

import logging
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import skops.io
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier, XGBRegressor

import servable
from servable.bundles.golden import golden_rows, prove_golden
from servable.bundles.open import open_bundle
from servable.errors import Conflict, ConversionRejected, IncompatibleModel, UnknownFormat, UnsafeModel, UsageError
from servable.runtimes.find import runtime
from tests.packed import scaler

pytestmark = pytest.mark.filterwarnings("ignore")

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
NAMED = IRIS[0], np.array(["setosa", "versicolor", "virginica"])[IRIS[1]]
DIGITS = load_digits(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
TWO = DIABETES[0], np.column_stack([DIABETES[1], -DIABETES[1]])


def scaled(model):
    return make_pipeline(StandardScaler(), model)


CONVERTED = {
    "boosting": (GradientBoostingClassifier(n_estimators=10), CANCER),
    "boosting of text": (GradientBoostingClassifier(n_estimators=10), NAMED),
    "forest": (RandomForestClassifier(20), CANCER),
    "forest of text": (RandomForestClassifier(20), NAMED),
    "forest of digits": (RandomForestClassifier(10), DIGITS),
    "forest behind a scaler": (scaled(RandomForestClassifier(20, random_state=0)), CANCER),
    "even votes": (ExtraTreesClassifier(10, random_state=0), CANCER),
    "histograms": (HistGradientBoostingClassifier(max_iter=10), CANCER),
    "histograms behind a scaler": (scaled(HistGradientBoostingClassifier(max_iter=10)), CANCER),
    "histograms of digits": (HistGradientBoostingClassifier(max_iter=5), DIGITS),
    "tree": (DecisionTreeClassifier(), DIGITS),
    "logistic": (scaled(LogisticRegression()), CANCER),
    "logistic of text": (scaled(LogisticRegression()), NAMED),
    "search": (GridSearchCV(scaled(LogisticRegression()), {"logisticregression__C": [1, 10]}), NAMED),
    "margin": (scaled(SVC()), CANCER),
    "margins": (scaled(SVC()), NAMED),
    "linear margin": (scaled(LinearSVC()), CANCER),
    "calibrated": (scaled(CalibratedClassifierCV(LinearSVC())), CANCER),
    "network": (scaled(MLPClassifier(max_iter=30)), DIGITS),
    "bayes": (GaussianNB(), NAMED),
    "bags": (BaggingClassifier(n_estimators=5), CANCER),
    "votes": (VotingClassifier([("a", scaled(LogisticRegression())), ("b", GaussianNB())], voting="soft"), NAMED),
    "yes or no": (scaled(LogisticRegression()), (CANCER[0], CANCER[1] == 1)),
    "boosting regression": (GradientBoostingRegressor(n_estimators=10), DIABETES),
    "forest regression": (RandomForestRegressor(10), DIABETES),
    "histogram regression": (HistGradientBoostingRegressor(max_iter=10), DIABETES),
    "ridge": (Ridge(), DIABETES),
    "two at once": (LinearRegression(), TWO),
    "forest of two": (RandomForestRegressor(5), TWO),
    "components": (PCA(2), IRIS),
    "clusters": (KMeans(3, n_init=1), IRIS),
    "outliers": (IsolationForest(n_estimators=5), DIABETES),
    "xgboost": (XGBClassifier(n_estimators=10), CANCER),
    "xgboost of digits": (XGBClassifier(n_estimators=5), DIGITS),
    "xgboost regression": (XGBRegressor(n_estimators=10), DIABETES),
    "lightgbm": (LGBMClassifier(n_estimators=10, verbose=-1), NAMED),
    "lightgbm regression": (LGBMRegressor(n_estimators=10, verbose=-1), DIABETES),
}


def answers(predictor, rows):
    return predictor.predict(rows)


def check(model, rows, predictor):
    """The packed model and the original, on rows that packing did not see in this form."""
    found = answers(predictor, rows)
    if "label" in found:
        expected = np.asarray(model.predict(rows))
        assert found["label"].tolist() == expected.tolist()
    if "probabilities" in found:
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(rows), rtol=1e-3, atol=1e-5)
    if "scores" in found:
        np.testing.assert_allclose(found["scores"], model.decision_function(rows), rtol=1e-3, atol=1e-4)
    if "prediction" in found:
        np.testing.assert_allclose(found["prediction"], model.predict(rows), rtol=1e-4, atol=1e-3)
    if "transformed" in found:
        np.testing.assert_allclose(found["transformed"], model.transform(rows), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", CONVERTED)
def test_it_becomes_onnx_and_answers_the_same(name, tmp_path):
    model, (data, target) = CONVERTED[name]
    model.fit(data, target)
    bundle = servable.pack(model, name="m", sample=data, output=tmp_path / "m")
    assert bundle.manifest.format == "onnx", bundle.manifest.lineage
    assert bundle.digest == open_bundle(tmp_path / "m").digest
    random = np.random.default_rng(7)
    rows = np.column_stack([random.permutation(column) for column in data.T])[:200]
    with servable.load(tmp_path / "m") as predictor:
        check(model, rows, predictor)


KEPT = {
    "ties between neighbours": (KNeighborsClassifier(), IRIS),
    "nothing that ONNX has": (make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(max_iter=5000)), IRIS),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_does_not_prove_equal_stays_itself_and_says_so(name, tmp_path, caplog):
    model, (data, target) = KEPT[name]
    model.fit(data, target)
    with caplog.at_level(logging.WARNING, logger="servable.pack"):
        bundle = servable.pack(model, name="kept", sample=data, output=tmp_path / "m")
    assert (bundle.manifest.format, bundle.manifest.model) == ("sklearn", "model.skops")
    assert bundle.manifest.lineage["rejected"]
    assert "kept is kept as it is" in caplog.text
    with servable.load(tmp_path / "m") as predictor:
        check(model, data, predictor)
    with pytest.raises(ConversionRejected, match="no form of this"):
        servable.pack(model, name="kept", sample=data, output=tmp_path / "n", to="onnx")
    assert not (tmp_path / "n").exists()


def test_float32_that_changes_an_answer_is_caught_and_float64_proven(tmp_path):
    """Scaled in float32, a value at a threshold falls to the other side of it."""
    data, target = CANCER
    model = scaled(RandomForestClassifier(20, random_state=0)).fit(data, target)
    bundle = servable.pack(model, name="m", sample=data, output=tmp_path / "m")
    assert bundle.signature.inputs[0].datatype == "FP64"
    assert bundle.manifest.lineage["conversion"] == "one FP64 matrix"
    (rejected,) = bundle.manifest.lineage["rejected"]
    assert "one FP32 matrix: it differs on" in rejected


def test_keep_does_not_convert(tmp_path):
    model = scaled(LogisticRegression()).fit(*NAMED)
    bundle = servable.pack(model, name="m", sample=IRIS[0], output=tmp_path / "m", to="keep")
    assert bundle.manifest.format == "sklearn"
    assert bundle.manifest.lineage.get("rejected") is None
    with servable.load(tmp_path / "m") as predictor:
        check(model, IRIS[0], predictor)


def test_the_contract_holds_names_classes_proof_and_golden_rows(tmp_path):
    data = load_iris(as_frame=True)
    model = scaled(LogisticRegression()).fit(data.data, NAMED[1])
    sample = data.data.assign(kind=NAMED[1])
    bundle = servable.pack(
        model, name="iris", sample=sample, label="kind", output=tmp_path / "m", checks=["accuracy>=0.9"]
    )
    manifest = bundle.manifest
    (given,) = bundle.signature.inputs
    assert given.features == tuple(data.data.columns)
    assert manifest.labels == {"probabilities": ("setosa", "versicolor", "virginica")}
    assert bundle.signature.output("probabilities").features == ("setosa", "versicolor", "virginica")
    assert (manifest.checks, manifest.golden) == (("accuracy>=0.9",), "golden.json")
    assert manifest.libraries.keys() == {"scikit-learn", "onnxruntime"}
    assert manifest.lineage["source"] == "sklearn.pipeline.Pipeline"
    assert "largest differences: label 0" in manifest.lineage["proof"]
    assert golden_rows(bundle).rows > 10
    assert prove_golden(bundle, runtime("onnx").load(open_bundle(tmp_path / "m"))) == golden_rows(bundle).rows


def test_packing_twice_gives_the_same_bundle(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVABLE_HOME", str(tmp_path / "home"))
    model = scaled(LogisticRegression()).fit(*CANCER)
    for to in ("auto", "keep"):
        made = [servable.pack(model, name="m", sample=CANCER[0], to=to) for _ in range(2)]
        assert made[0].digest == made[1].digest
        assert made[0].folder == tmp_path / "home" / "bundles" / made[0].digest
    assert len(list((tmp_path / "home" / "bundles").iterdir())) == 2


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine.txt").write_text("mine")
    with pytest.raises(Conflict):
        servable.pack(Ridge().fit(*DIABETES), name="m", sample=DIABETES[0], output=tmp_path / "m")


@pytest.mark.parametrize(
    ("model", "how", "says"),
    [
        (Ridge(), {"sample": DIABETES[0]}, "not fitted"),
        (object(), {"sample": DIABETES[0]}, "cannot pack a builtins.object"),
        (Ridge().fit(*DIABETES), {}, "with a sample of rows"),
        (Ridge().fit(*DIABETES), {"sample": DIABETES[0], "name": None}, "name=None"),
        (Ridge().fit(*DIABETES), {"sample": DIABETES[0], "name": "a/b"}, "'a/b'"),
        (Ridge().fit(*DIABETES), {"sample": DIABETES[0], "to": "tflite"}, "to='tflite'"),
        (Ridge().fit(*DIABETES), {"sample": DIABETES[0], "checks": ["good"]}, "check 'good'"),
        (Ridge().fit(*DIABETES), {"sample": DIABETES[1]}, "1 axes"),
        (Ridge().fit(*DIABETES), {"sample": DIABETES[0][:0]}, "no rows"),
        (Ridge().fit(*DIABETES), {"sample": DIABETES[0].astype(str)}, "mixed columns as a DataFrame"),
        (Ridge().fit(*DIABETES), {"sample": DIABETES[0], "label": "y"}, "no column 'y'"),
        (Ridge().fit(*DIABETES), {"sample": "rows.xlsx"}, "cannot read the sample"),
        (Ridge().fit(*DIABETES), {"sample": DIABETES[0][:, :3]}, "does not answer its own sample"),
    ],
)
def test_a_wrong_call_says_what_to_give(model, how, says, tmp_path):
    with pytest.raises(UsageError, match="") as caught:
        servable.pack(model, **{"name": "m", "output": tmp_path / "m", **how})
    assert says in caught.value.message
    assert not (tmp_path / "m").exists()


def test_a_sample_that_is_not_the_models_is_told_apart(tmp_path):
    data = load_diabetes(as_frame=True)
    model = Ridge().fit(data.data, data.target)
    with pytest.raises(UsageError, match=r"not trained on 'target'.*label="):
        servable.pack(model, name="m", sample=data.data.assign(target=1), output=tmp_path / "m")
    with pytest.raises(UsageError, match="lacks 'age'"):
        servable.pack(model, name="m", sample=data.data.drop(columns="age"), output=tmp_path / "m")
    turned = data.data[data.data.columns[::-1]]
    bundle = servable.pack(model, name="m", sample=turned, output=tmp_path / "m")
    assert bundle.signature.inputs[0].features == tuple(data.data.columns)


def test_what_cannot_answer_new_rows_is_refused(tmp_path):
    with pytest.raises((UsageError, IncompatibleModel)):
        servable.pack(AgglomerativeClustering(2).fit(IRIS[0]), name="m", sample=IRIS[0], output=tmp_path / "m")


def shout(rows):
    return rows


def test_foreign_code_is_converted_or_refused_never_kept(tmp_path):
    model = make_pipeline(FunctionTransformer(shout), LogisticRegression(max_iter=5000)).fit(*IRIS)
    with pytest.raises(UnsafeModel, match="shout"):
        servable.pack(model, name="m", sample=IRIS[0], output=tmp_path / "m")
    assert not (tmp_path / "m").exists()


# ---- files


def test_a_skops_file_is_packed_like_its_estimator(tmp_path):
    model = scaled(SGDClassifier(random_state=0)).fit(*CANCER)
    (tmp_path / "cancer.skops").write_bytes(skops.io.dumps(model))
    bundle = servable.pack(tmp_path / "cancer.skops", sample=CANCER[0], output=tmp_path / "m")
    assert bundle.name == "cancer"
    with servable.load(tmp_path / "m") as predictor:
        check(model, CANCER[0], predictor)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("xz", 3)])
def test_a_pickle_is_opened_by_consent_only_and_what_comes_out_is_none(compress, tmp_path):
    model = scaled(LogisticRegression()).fit(*CANCER)
    joblib.dump(model, tmp_path / "model.pkl", compress=compress)
    with pytest.raises(UnsafeModel, match="allow_unsafe=True"):
        servable.pack(tmp_path / "model.pkl", name="m", sample=CANCER[0], output=tmp_path / "m")
    bundle = servable.pack(tmp_path / "model.pkl", name="m", sample=CANCER[0], output=tmp_path / "m", allow_unsafe=True)
    assert [file.path for file in bundle.manifest.files] == [
        "golden.json",
        "model.onnx",
        "profile.json",
        "reference.json",
    ]


class Canary:
    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_without_consent_runs_nothing(tmp_path):
    canary = Canary()
    canary.path = tmp_path / "sang"
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(canary))
    with pytest.raises(UnsafeModel):
        servable.pack(tmp_path / "model.pkl", name="m", sample=CANCER[0], output=tmp_path / "m")
    assert not (tmp_path / "sang").exists()


def test_an_onnx_file_is_kept_and_its_matrix_takes_the_names_of_the_sample(tmp_path):
    import pandas as pd

    scaler(tmp_path / "twice.onnx")
    bundle = servable.pack(tmp_path / "twice.onnx", output=tmp_path / "plain")
    assert (bundle.name, bundle.manifest.golden) == ("twice", "golden.json")
    sample = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]})
    bundle = servable.pack(tmp_path / "twice.onnx", sample=sample, output=tmp_path / "named")
    assert bundle.signature.inputs[0].features == ("a", "b")
    with servable.load(tmp_path / "named") as predictor:
        turned = predictor.predict(sample[["b", "a"]])
        assert turned["y_0"].tolist() == [2, 4, 6]
    with pytest.raises(UsageError, match="does not fit"):
        servable.pack(tmp_path / "twice.onnx", sample=sample[["a"]], output=tmp_path / "wrong")


def test_a_native_file_cannot_be_converted_but_kept(tmp_path):
    model = XGBClassifier(n_estimators=3).fit(*CANCER)
    model.save_model(tmp_path / "m.ubj")
    with pytest.raises(UsageError, match="pack the model object"):
        servable.pack(tmp_path / "m.ubj", output=tmp_path / "a", to="onnx")
    bundle = servable.pack(tmp_path / "m.ubj", sample=CANCER[0], output=tmp_path / "b")
    assert bundle.manifest.format == "xgboost"
    for booster in (model.get_booster(), LGBMClassifier(n_estimators=3, verbose=-1).fit(*CANCER).booster_):
        made = servable.pack(booster, name="bare", sample=CANCER[0], output=tmp_path / type(booster).__module__)
        assert made.manifest.lineage["source"].endswith("Booster")
        with servable.load(made.folder) as predictor:
            check(model, CANCER[0], predictor) if made.manifest.format == "xgboost" else predictor.predict(CANCER[0])


def test_what_is_no_model_is_not_packed(tmp_path):
    (tmp_path / "a.onnx").write_text("<html>404</html>")
    with pytest.raises(UnknownFormat, match="an HTML page"):
        servable.pack(tmp_path / "a.onnx", output=tmp_path / "m")
    with pytest.raises(UnknownFormat, match="an HTML page"):
        servable.pack(tmp_path / "a.onnx", output=tmp_path / "m", allow_unsafe=True)


def test_a_bundle_is_not_packed_again(tmp_path):
    servable.pack(scaler(tmp_path / "twice.onnx"), output=tmp_path / "m")
    with pytest.raises(UsageError, match="is a bundle already"):
        servable.pack(tmp_path / "m", output=tmp_path / "n")


@pytest.mark.parametrize("lacking", ["skl2onnx", "onnx"])
def test_an_extra_that_is_not_there_is_named(lacking, tmp_path):
    code = (
        f"import sys; sys.modules[{lacking!r}] = None; import numpy as np, servable\n"
        "from sklearn.linear_model import Ridge\n"
        "rows = np.random.default_rng(0).random((20, 2))\n"
        f"servable.pack(Ridge().fit(rows, rows[:, 0]), name='m', sample=rows, output={str(tmp_path / 'm')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "MissingExtra" in done.stderr
    assert "pip install 'servable[pack]'" in done.stderr
