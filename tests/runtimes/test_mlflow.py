"""MLflow model folders, written by MLflow itself: each flavour served by the format inside, code by consent only."""

import os
import shutil
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import servable
from servable.bundles.open import format_of, open_bundle
from servable.errors import BundleError, CorruptModel, IncompatibleModel, ServableError, UnsafeModel
from servable.runtimes.mlflow_folder import read

pytestmark = pytest.mark.filterwarnings("ignore")  # what other people's libraries warn of is theirs

FLOWERS = load_iris(as_frame=True)
FLOWERS.data.columns = NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


@pytest.fixture(scope="module")
def mlflow():
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow as library
        from mlflow import catboost, lightgbm, onnx, pyfunc, sklearn, xgboost  # noqa: F401
    return library


@pytest.fixture(scope="module")
def model():
    return LogisticRegression(max_iter=500).fit(FLOWERS.data, FLOWERS.target)


@pytest.fixture(scope="module")
def signature(mlflow, model):
    return mlflow.models.infer_signature(FLOWERS.data, model.predict(FLOWERS.data))


@pytest.fixture(scope="module")
def saved(mlflow, model, signature, tmp_path_factory):
    """A folder of scikit-learn's flavour, as a pickle."""
    folder = tmp_path_factory.mktemp("mlflow") / "iris"
    mlflow.sklearn.save_model(
        model, folder, signature=signature, input_example=FLOWERS.data.head(5), serialization_format="pickle",
        pip_requirements=[],
    )  # fmt: skip
    return folder


def made(kind):
    """A fitted model of a library, and what it answers."""
    if kind == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(n_estimators=3).fit(FLOWERS.data, FLOWERS.target)
    if kind == "catboost":
        from catboost import CatBoostClassifier

        return CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False).fit(FLOWERS.data, FLOWERS.target)
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=3, verbose=-1).fit(FLOWERS.data, FLOWERS.target)


@pytest.mark.parametrize(
    "kind",
    ["xgboost", pytest.param("lightgbm", marks=pytest.mark.faults), pytest.param("catboost", marks=pytest.mark.faults)],
)
def test_a_folder_of_trees_is_served_as_it_is(mlflow, signature, kind, tmp_path):
    fitted = made(kind)
    getattr(mlflow, kind).save_model(fitted, tmp_path / "iris", signature=signature, pip_requirements=[])
    bundle = open_bundle(tmp_path / "iris")
    assert (bundle.name, bundle.signature.inputs[0].features) == ("iris", NAMES)
    with servable.load(tmp_path / "iris") as predictor:
        found = predictor.predict(FLOWERS.data[list(NAMES[::-1])])
        np.testing.assert_allclose(found.to_numpy()[:, 1:], fitted.predict_proba(FLOWERS.data), atol=1e-5)


def test_an_onnx_folder_gets_the_names_of_its_columns(mlflow, model, signature, tmp_path):
    from skl2onnx import to_onnx

    graph = to_onnx(model, FLOWERS.data.to_numpy(np.float32)[:1], options={"zipmap": False})
    mlflow.onnx.save_model(graph, tmp_path / "iris", signature=signature, pip_requirements=[])
    assert format_of(tmp_path / "iris")[0].name == "onnx"
    with servable.load(tmp_path / "iris") as predictor:
        assert predictor.signature.inputs[0].features == NAMES
        found = predictor.predict(FLOWERS.data[list(NAMES[::-1])])
        assert found["label"].tolist() == model.predict(FLOWERS.data).tolist()


def test_a_pickle_inside_is_a_pickle(saved, model, tmp_path):
    for attempt in (open_bundle, servable.pack):
        with pytest.raises(UnsafeModel, match="allow"):
            attempt(saved)
    bundle = servable.pack(saved, allow_unsafe=True, output=tmp_path / "bundle")  # its example is the sample
    assert (bundle.name, bundle.manifest.format) == ("iris", "onnx")
    with servable.load(tmp_path / "bundle") as predictor:
        found = predictor.predict(FLOWERS.data[list(NAMES[::-1])])
        assert found["label"].tolist() == model.predict(FLOWERS.data).tolist()


def test_a_function_of_python_is_run_by_mlflow_with_consent(mlflow, tmp_path):
    class Sums(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input.assign(total=model_input.sum(axis=1))[["total"]]

    declared = mlflow.models.infer_signature(FLOWERS.data)
    mlflow.pyfunc.save_model(tmp_path / "sums", python_model=Sums(), signature=declared, pip_requirements=[])
    with pytest.raises(UnsafeModel, match="allow-unsafe"):
        open_bundle(tmp_path / "sums")
    bundle = servable.pack(tmp_path / "sums", allow_unsafe=True, output=tmp_path / "bundle")
    assert bundle.manifest.format == "mlflow"
    with servable.load(tmp_path / "bundle") as predictor:
        found = predictor.predict(FLOWERS.data)
        np.testing.assert_allclose(found["total"], FLOWERS.data.sum(axis=1))


def changed(folder, target, old, new):
    shutil.copytree(folder, target)
    text = (target / "MLmodel").read_text()
    assert old in text
    (target / "MLmodel").write_text(text.replace(old, new))
    return target


@pytest.mark.parametrize(
    ("old", "new", "error", "reason"),
    [
        ("pickled_model: model.pkl", "pickled_model: ../../secret.pkl", CorruptModel, "leads out of the folder"),
        ("pickled_model: model.pkl", "pickled_model: /etc/passwd", CorruptModel, "leads out of the folder"),
        ("pickled_model: model.pkl", "pickled_model: gone.pkl", CorruptModel, "not there"),
        ("flavors:", "flavours:", CorruptModel, "no flavours"),
        ("flavors:", "!!python/object/apply:os.system ['true']\nflavors:", CorruptModel, "broken or cut off"),
        ("inputs: '[", "inputs: '[{]", CorruptModel, "not understood"),
    ],
)
def test_folders_that_lie_are_refused(saved, tmp_path, old, new, error, reason):
    with pytest.raises(error, match=reason) as caught:
        open_bundle(changed(saved, tmp_path / "iris", old, new))
    assert "\n" not in caught.value.message


def test_broken_folders_give_one_line_each(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "iris")
    (folder / "model.pkl").write_bytes((folder / "model.pkl").read_bytes()[:100])
    with pytest.raises(BundleError) as caught:
        servable.pack(folder, allow_unsafe=True, output=tmp_path / "bundle")
    assert "\n" not in caught.value.message
    for content in ("", "flavors: {spark: {}}", "flavors: 3", "["):
        (folder / "MLmodel").write_text(content)
        with pytest.raises((CorruptModel, IncompatibleModel)):
            read(folder)


@pytest.mark.faults
def test_a_keras_folder_is_packed_as_the_file_inside(mlflow, tmp_path):
    import keras
    from mlflow import keras as flavour

    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    flowers = FLOWERS.data.to_numpy(np.float32)
    expected = net.predict(flowers[:9], verbose=0)
    signed = mlflow.models.infer_signature(flowers, net.predict(flowers, verbose=0))
    flavour.save_model(net, str(tmp_path / "net"), signature=signed, pip_requirements=[])
    bundle = servable.pack(tmp_path / "net", sample=flowers, output=tmp_path / "bundle")
    assert "keras" in bundle.manifest.lineage["mlflow"]["flavors"]
    with servable.load(tmp_path / "bundle") as predictor:
        (found,) = predictor.predict(flowers[:9]).values()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.faults
def test_a_pytorch_folder_is_packed_as_the_program_inside_and_a_pickled_module_is_refused(mlflow, tmp_path):
    import torch
    from mlflow import pytorch as flavour

    net = torch.nn.Linear(4, 3)
    flowers = FLOWERS.data.to_numpy(np.float32)
    with torch.no_grad():
        expected = net(torch.tensor(flowers)).numpy()
    signed = mlflow.models.infer_signature(flowers, expected)
    flavour.save_model(net, str(tmp_path / "net"), signature=signed, input_example=flowers[:5], pip_requirements=[])
    bundle = servable.pack(tmp_path / "net", sample=flowers, output=tmp_path / "bundle")
    assert "pytorch" in bundle.manifest.lineage["mlflow"]["flavors"]
    with servable.load(tmp_path / "bundle") as predictor:
        (found,) = predictor.predict(flowers[:9]).values()
    np.testing.assert_allclose(found, expected[:9], atol=1e-5)
    flavour.save_model(
        net, str(tmp_path / "old"), signature=signed, serialization_format="pickle", pip_requirements=[]
    )  # fmt: skip
    with pytest.raises(ServableError, match="PyTorch"):
        servable.pack(tmp_path / "old", output=tmp_path / "refused", allow_unsafe=True)
