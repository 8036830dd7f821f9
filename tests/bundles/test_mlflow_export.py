"""Bundles as MLflow models and back, judged by MLflow itself."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import servable
from servable.bundles.mlflow_export import export
from servable.bundles.open import open_bundle
from servable.errors import Conflict, UsageError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.pyfunc
    import mlflow.sklearn

pytestmark = pytest.mark.filterwarnings("ignore")  # what MLflow itself says while it loads

RNG = np.random.default_rng(5)
FRAME = pd.DataFrame({
    "age": RNG.integers(18, 90, 200),
    "spent": RNG.lognormal(3, 1, 200),
    "city": RNG.choice(["Oslo", "Rome"], 200),
    "active": RNG.random(200) < 0.5,
})  # fmt: skip
LABEL = np.where(FRAME["age"] > 50, "yes", "no")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    encode = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression(max_iter=5000)).fit(FRAME, LABEL)
    return servable.pack(
        model, name="churn", sample=FRAME.assign(left=LABEL), label="left", output=tmp_path_factory.mktemp("b") / "b"
    )


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("m") / "mlflow"
    export(bundle, folder, registered=1.7e9)
    return folder


def test_mlflow_loads_it_and_answers_as_the_bundle_does(bundle, exported):
    function = mlflow.pyfunc.load_model(str(exported))
    with servable.load(bundle.folder) as predictor:
        pd.testing.assert_frame_equal(function.predict(FRAME), predictor.predict(FRAME))


def test_mlflow_enforces_the_contract(exported):
    function = mlflow.pyfunc.load_model(str(exported))
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        function.predict(FRAME.drop(columns="age"))
    names = {column.name: str(column.type) for column in function.metadata.signature.inputs}
    assert names == {
        "age": "DataType.long",
        "spent": "DataType.double",
        "city": "DataType.string",
        "active": "DataType.boolean",
    }


def test_its_papers_are_those_of_mlflow(bundle, exported):
    model = mlflow.models.Model.load(str(exported))
    assert model.metadata["servable"]["digest"] == bundle.digest
    assert model.metadata["servable"]["lineage"]["data"].startswith("sha256:")
    assert model.utc_time_created.startswith("2023-11-14")
    example = model.load_input_example(str(exported))
    assert list(example.columns) == list(FRAME.columns)
    assert {"servable", "onnx", "python_function"} == set(model.flavors)


def test_the_bundle_comes_back_as_it_was(bundle, exported):
    assert open_bundle(exported).digest == bundle.digest
    with pytest.raises(UsageError, match="is a bundle already: register it"):
        servable.pack(exported)


def test_the_same_bundle_gives_the_same_folder(bundle, exported, tmp_path):
    export(bundle, tmp_path / "again", registered=1.7e9)
    for path in exported.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(exported)).read_bytes() == path.read_bytes(), path
    with pytest.raises(Conflict, match="exists already"):
        export(bundle, exported)


def test_what_came_from_mlflow_loses_nothing_on_its_way(tmp_path):
    model = RandomForestClassifier(3, random_state=0).fit(FRAME[["age", "spent"]], LABEL)
    was = tmp_path / "was"
    mlflow.sklearn.save_model(
        model, was, input_example=FRAME[["age", "spent"]].head(8), metadata={"team": "risk", "ticket": 41},
        signature=mlflow.models.infer_signature(FRAME[["age", "spent"]], LABEL), serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"],
    )  # fmt: skip
    bundle = servable.pack(was, name="forest", allow_unsafe=True, output=tmp_path / "b")
    first = mlflow.models.Model.load(str(was))
    lineage = bundle.manifest.lineage["mlflow"]
    assert (lineage["model_uuid"], lineage["utc_time_created"]) == (first.model_uuid, first.utc_time_created)
    assert lineage["metadata"] == '{"team":"risk","ticket":41}'
    for name in ("MLmodel", "requirements.txt", "input_example.json", "conda.yaml"):
        assert (bundle.folder / "mlflow" / name).read_bytes() == (was / name).read_bytes()
    export(bundle, tmp_path / "now")
    second = mlflow.models.Model.load(str(tmp_path / "now"))
    assert second.model_uuid == first.model_uuid
    assert second.utc_time_created == first.utc_time_created
    assert second.signature == first.signature
    assert second.metadata.items() >= first.metadata.items()
    found = mlflow.pyfunc.load_model(str(tmp_path / "now")).predict(FRAME[["age", "spent"]])
    assert found["label"].tolist() == model.predict(FRAME[["age", "spent"]]).tolist()
