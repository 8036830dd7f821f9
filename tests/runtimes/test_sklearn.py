"""scikit-learn by skops: what is trusted, which version made it, tables as the estimator saw them, one thread."""

import io
import json
import os
import zipfile

import msgspec
import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import BundleError, CorruptModel, IncompatibleModel, ModelFailed, UnsafeModel
from servable.runtimes.find import recognise, runtime
from servable.runtimes.frame import Columns, FrameMaker

pytestmark = pytest.mark.filterwarnings("default")

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def dumped(model, path):
    path.write_bytes(skops.io.dumps(model))
    return path


def opened(model, path):
    bundle = open_bundle(dumped(model, path))
    return bundle, runtime("sklearn").load(bundle)


MODELS = {
    "probabilities": (LogisticRegression(max_iter=5000), *CANCER),
    "trees": (RandomForestClassifier(5, n_jobs=-1), *CANCER),
    "histograms": (HistGradientBoostingClassifier(max_iter=5), *IRIS),
    "neighbours": (KNeighborsClassifier(), *IRIS),
    "margins": (SVC(), *CANCER),
    "a margin for each class": (RidgeClassifier(), *IRIS),
    "numbers": (LinearRegression(), *DIABETES),
    "several numbers": (LinearRegression(), DIABETES[0], np.column_stack([DIABETES[1], -DIABETES[1]])),
    "outliers": (IsolationForest(n_estimators=5), DIABETES[0], None),
    "clusters": (KMeans(3, n_init=1), IRIS[0], None),
    "a transformer": (StandardScaler(), IRIS[0], None),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_answers_as_the_estimator_does(name, tmp_path):
    model, data, target = MODELS[name]
    model.fit(data, target)
    bundle, loaded = opened(model, tmp_path / "m.skops")
    assert bundle.manifest.libraries == {"scikit-learn": sklearn.__version__}
    found = loaded.predict(Batch({"input": data}))
    assert bundle.signature.check_outputs(found) == []
    asked = {
        "label": "predict",
        "prediction": "predict",
        "probabilities": "predict_proba",
        "scores": "decision_function",
        "transformed": "transform",
    }
    for output, array in found.columns.items():
        np.testing.assert_allclose(array, getattr(model, asked[output])(data), rtol=1e-9)
    assert len(found.columns) == 2 or output in {"prediction", "transformed", "label"}


def test_text_labels_and_several_answers_a_row(tmp_path):
    target = np.array(["setosa", "versicolor", "virginica"])[IRIS[1]]
    bundle, loaded = opened(LogisticRegression(max_iter=5000).fit(IRIS[0], target), tmp_path / "a.skops")
    assert bundle.manifest.labels == {"probabilities": ("setosa", "versicolor", "virginica")}
    assert loaded.predict(Batch({"input": IRIS[0]}))["label"].dtype == object
    both = MultiOutputClassifier(LogisticRegression(max_iter=5000)).fit(
        IRIS[0], np.column_stack([IRIS[1], IRIS[1] > 1])
    )
    bundle, loaded = opened(both, tmp_path / "b.skops")
    assert [field.describe() for field in bundle.signature.outputs] == ["INT64 [-1, 2]"]


def test_what_cannot_answer_new_rows_is_refused(tmp_path):
    with pytest.raises(IncompatibleModel, match="neither predict nor transform"):
        open_bundle(dumped(AgglomerativeClustering(2).fit(IRIS[0]), tmp_path / "a.skops"))


def test_named_columns_are_found_by_name(tmp_path):
    data = load_breast_cancer(as_frame=True)
    model = LogisticRegression(max_iter=5000).fit(data.data, data.target)
    bundle, loaded = opened(model, tmp_path / "named.skops")
    (field,) = bundle.signature.inputs
    assert field.features == tuple(data.data.columns)
    found = loaded.predict(Batch({"input": data.data.to_numpy()}))
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(data.data), rtol=1e-12)


def test_an_estimator_of_text_says_that_it_needs_a_sample(tmp_path):
    table = pd.DataFrame({"sex": ["male", "female"] * 10})
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(table, [0, 1] * 10)
    with pytest.raises(IncompatibleModel, match="pack it with a sample"):
        open_bundle(dumped(model, tmp_path / "text.skops"))


class Canary:
    """Runs as soon as somebody makes one."""

    def __init__(self):
        self.value = 1

    def __setstate__(self, state):
        os.environ["SERVABLE_CANARY"] = "sang"


def shout(rows):
    return rows


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (make_pipeline(FunctionTransformer(shout), LogisticRegression()), "shout"),
        (make_pipeline(FunctionTransformer(os.path.join), LogisticRegression()), "posixpath"),
        (LogisticRegression(C=Canary()), "Canary"),
    ],
)
def test_types_that_are_not_trusted_are_named_and_never_made(model, named, tmp_path):
    with pytest.raises(UnsafeModel, match=named):
        open_bundle(dumped(model, tmp_path / "foreign.skops"))
    assert "SERVABLE_CANARY" not in os.environ


def test_consent_cannot_come_from_the_bundle(tmp_path):
    path = dumped(make_pipeline(FunctionTransformer(shout)), tmp_path / "foreign.skops")
    field = Field("input", "FP64", (-1, 1))
    bundle = open_bundle(dumped(StandardScaler().fit(IRIS[0]), tmp_path / "fine.skops"))
    manifest = msgspec.structs.replace(
        bundle.manifest,
        model=path.name,
        signature=Signature((field,), (field,)),
        options={"trusted": ["shout"], "allow_unsafe": True},
        files=open_files(path),
    )
    with pytest.raises(UnsafeModel):
        runtime("sklearn").load(msgspec.structs.replace(bundle, manifest=manifest))


def open_files(path):
    from servable.bundles.digest import of_file

    return (of_file(path, path.parent),)


def rewritten(path, change):
    source = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, change(content.decode()) if name == "schema.json" else content)


@pytest.mark.parametrize("version", ["99.0", "0.24.2", "1.5.0"])
def test_another_version_of_the_library_is_refused_and_both_are_named(version, tmp_path):
    path = dumped(StandardScaler().fit(IRIS[0]), tmp_path / "m.skops")
    before = f'\\"{sklearn.__version__}\\"'
    rewritten(path, lambda schema: schema.replace(before, f'\\"{version}\\"'))
    with pytest.raises(IncompatibleModel) as caught:
        open_bundle(path)
    assert version in caught.value.message
    assert sklearn.__version__ in caught.value.message


def answered(path):
    bundle = open_bundle(path)
    return runtime("sklearn").load(bundle).predict(Batch({"input": IRIS[0]}))


@pytest.mark.parametrize(
    "change", [lambda schema: schema[:-20], lambda _: "{}", lambda schema: schema.replace("f_", "g_")]
)
def test_a_broken_schema_is_corrupt(change, tmp_path):
    path = dumped(StandardScaler().fit(IRIS[0]), tmp_path / "m.skops")
    rewritten(path, lambda schema: change(schema.replace("scale_", "scalf_")))
    with pytest.raises((BundleError, ModelFailed)):
        answered(path)


def test_a_zip_that_only_looks_like_it_is_corrupt(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps({"__class__": "os", "__module__": "os", "__loader__": "ObjectNode"}))
    assert recognise(tmp_path / "a.skops").name == "sklearn"
    with pytest.raises((CorruptModel, UnsafeModel)):
        open_bundle(tmp_path / "a.skops")


def test_jobs_and_threads_are_one(tmp_path):
    _, loaded = opened(RandomForestClassifier(5, n_jobs=-1).fit(*IRIS), tmp_path / "jobs.skops")
    assert loaded.predict(Batch({"input": IRIS[0]})).rows == 150
    bundle = open_bundle(tmp_path / "jobs.skops")
    from servable.runtimes.sklearn import load_estimator, single_job

    estimator, _ = load_estimator(bundle.model_path.read_bytes(), "jobs")
    assert single_job(make_pipeline(StandardScaler(), estimator))[-1].n_jobs == 1


def test_a_row_that_the_estimator_refuses_is_one_line(tmp_path):
    _, loaded = opened(LogisticRegression(max_iter=5000).fit(*IRIS), tmp_path / "m.skops")
    with pytest.raises(ModelFailed, match="scikit-learn: ") as caught:
        loaded.predict(Batch({"input": np.full((1, 4), np.nan)}))
    assert "\n" not in caught.value.message


# ---- tables


COLUMNS = {
    "price": ("float64", "FP64", [1.5, np.nan]),
    "count": ("int64", "INT64", [3, 4]),
    "whole": ("int32", "FP64", [3.0, np.nan]),
    "open": ("bool", "BOOL", [True, False]),
    "name": ("str", "BYTES", ["a", None]),
    "note": ("object", "BYTES", ["a", None]),
    "none": ("object", "BYTES", ["a", None]),
    "group": ("category", "BYTES", ["A", None]),
    "ward": ("category", "BYTES", ["12", "3"]),
    "day": ("datetime64[ns]", "BYTES", ["2026-01-31", None]),
    "moment": ("datetime64[us, UTC]", "BYTES", ["2026-01-31T10:00:00+02:00", None]),
    "size": ("Int64", "FP64", [3.0, np.nan]),
}


def maker():
    fields = tuple(
        Field(name, datatype, (-1, 1), values="missing" if datatype in {"FP64", "BYTES"} else "finite")
        for name, (_, datatype, _) in COLUMNS.items()
    )
    columns = Columns(
        tuple(COLUMNS),
        tuple(dtype for dtype, _, _ in COLUMNS.values()),
        {"group": ("A", "B"), "ward": (3, 6, 12)},
        ("none",),
    )
    return FrameMaker(columns, Signature(fields, ()))


def test_the_table_is_the_one_of_training():
    kinds = {"FP64": np.float64, "INT64": np.int64, "BOOL": bool, "BYTES": object}
    arrays = {name: np.array(values, kinds[kind]).reshape(-1, 1) for name, (_, kind, values) in COLUMNS.items()}
    frame = maker().frame(Batch(dict(reversed(arrays.items())), 2))
    assert list(frame.columns) == list(COLUMNS)
    dtypes = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert dtypes == {name: dtype for name, (dtype, _, _) in COLUMNS.items()} | {"whole": "float64"}
    assert frame["note"][1] is not None
    assert np.isnan(frame["note"][1])
    assert frame["none"][1] is None
    assert frame["ward"].tolist() == [12, 3]
    assert list(frame["ward"].cat.categories) == [3, 6, 12]
    assert frame["moment"][0] == pd.Timestamp("2026-01-31T08:00:00Z")
    assert frame["day"].isna().tolist() == [False, True]


def test_an_unseen_category_is_not_a_missing_one():
    columns = Columns(("group",), ("category",), {"group": ("A", "B")})
    made = FrameMaker(columns, Signature((Field("group", "BYTES", (-1, 1), values="missing"),), ()))
    frame = made.frame(Batch({"group": np.array([["A"], ["Z"], [None]], object)}))
    assert frame["group"].isna().tolist() == [False, False, True]
    assert frame["group"].astype(object)[1] == "Z"


def test_a_column_that_no_input_holds_is_named():
    with pytest.raises(CorruptModel, match="'group'"):
        FrameMaker(Columns(("group",), ("str",)), Signature((Field("other", "BYTES"),), ()))


def test_a_date_that_is_none_is_said():
    columns = Columns(("day",), ("datetime64[ns]",))
    made = FrameMaker(columns, Signature((Field("day", "BYTES", (-1, 1)),), ()))
    with pytest.raises(ModelFailed, match="'day'"):
        made.frame(Batch({"day": np.array([["yesterday"]], object)}))


def test_a_mixed_table_is_answered(tmp_path):
    data = load_diabetes(as_frame=True, scaled=False)
    table = data.data[["age", "bmi"]].assign(sex=np.where(data.data["sex"] > 1, "f", "m"))
    columns = ColumnTransformer([("n", StandardScaler(), ["age", "bmi"]), ("t", OneHotEncoder(), ["sex"])])
    model = make_pipeline(columns, LinearRegression()).fit(table, data.target)
    path = dumped(model, tmp_path / "mixed.skops")
    inputs = (Field("sex", "BYTES", (-1, 1)), Field("rest", "FP64", (-1, 2), ("bmi", "age")))
    stated = open_bundle(dumped(LinearRegression().fit(*DIABETES), tmp_path / "other.skops"))
    frame = Columns(tuple(table.columns), tuple(map(str, table.dtypes)))
    manifest = msgspec.structs.replace(
        stated.manifest,
        model=path.name,
        files=open_files(path),
        signature=Signature(inputs, (Field("prediction", "FP64"),)),
        options={"frame": msgspec.to_builtins(frame)},
    )
    loaded = runtime("sklearn").load(msgspec.structs.replace(stated, manifest=manifest))
    batch = Batch({"sex": table[["sex"]].to_numpy(object), "rest": table[["bmi", "age"]].to_numpy(float)})
    np.testing.assert_allclose(loaded.predict(batch)["prediction"], model.predict(table))
