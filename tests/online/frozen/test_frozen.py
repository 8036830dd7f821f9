"""What learners have learned, as ONNX: it answers what they answer, to the rounding; what has no such form says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

import servable
from servable.bundles.open import open_bundle
from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Learner
from servable.errors import ConversionRejected
from servable.online.frozen.version import frozen
from servable.online.learners import spec
from servable.runtimes.find import runtime

CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
DIGITS = tuple(values[:600] for values in load_digits(return_X_y=True))
ROUNDING = 1e-9
SINGLE = 1e-5

HEAD = """
import servable


class Own(servable.{base}):
    inputs = {{"x": "FP64 [-1, {width}]"}}
    classes = {classes}

    def model(self):
        {body}
"""
RIVER = "from river import linear_model as m, preprocessing as p; return "
SCALED = (
    "from sklearn.preprocessing import StandardScaler; from sklearn import linear_model as m, neural_network as n; "
)
BAYES = "from sklearn.naive_bayes import GaussianNB; return [GaussianNB(var_smoothing=1e-3)]"
TORCH = "from torch import nn; return "
BODIES: dict[str, tuple[str, str, tuple[Array, Array]]] = {
    "river regression": ("RiverLearner", RIVER + "p.StandardScaler() | m.LogisticRegression()", CANCER),
    "river ALMA": ("RiverLearner", RIVER + "p.StandardScaler() | m.ALMAClassifier()", CANCER),
    "river numbers": ("RiverLearner", RIVER + "p.StandardScaler() | m.LinearRegression()", DIABETES),
    "SGD": ("SklearnLearner", SCALED + "return [StandardScaler(), m.SGDClassifier(loss='log_loss')]", CANCER),
    "perceptron": ("SklearnLearner", SCALED + "return [StandardScaler(), m.Perceptron()]", DIGITS),
    "network": ("SklearnLearner", SCALED + "return [StandardScaler(), n.MLPClassifier((16,), random_state=1)]", DIGITS),
    "SGD of numbers": ("SklearnLearner", SCALED + "return [StandardScaler(), m.SGDRegressor()]", DIABETES),
    "Bayes": ("SklearnLearner", BAYES, CANCER),
    "torch": ("TorchLearner", TORCH + "nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))", DIGITS),
    "torch of numbers": ("TorchLearner", TORCH + "nn.Linear(10, 1)", DIABETES),
}


def bundle_of(folder: Path, name: str, text: str) -> Bundle:
    (folder / name).write_text(text)
    return servable.pack(folder / name, output=folder / "packed", allow_unsafe=name.endswith(".py"))


def taught(bundle: Bundle, rows: Batch, outcomes: Array) -> Learner:
    learner = runtime(bundle.manifest.format).load(bundle)
    assert isinstance(learner, Learner)
    for row in range(rows.rows):
        learner.learn(rows.slice(row, row + 1), outcomes[row : row + 1])
    return learner


def held_against(bundle: Bundle, learner: Learner, rows: Batch, folder: Path, within: float) -> Bundle:
    """The frozen version, which answers these rows as the learner does."""
    made = open_bundle(frozen(bundle, learner, rows, folder / "frozen", offset=rows.rows).folder)
    with servable.load(made.folder) as model:
        told, expected = model.predict(dict(rows.columns)), learner.predict(rows)
        for name, values in expected.columns.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(told[name], values, rtol=within, atol=within)
            else:
                np.testing.assert_array_equal(told[name], values)
    assert made.manifest.format == "onnx"
    assert "equal on" in made.manifest.lineage["proof"]
    return made


@pytest.mark.faults
@pytest.mark.parametrize("case", BODIES)
def test_learners_of_other_libraries_answer_as_they_did(tmp_path: Path, case: str) -> None:
    base, body, (x, y) = BODIES[case]
    within = ROUNDING if base == "RiverLearner" else SINGLE
    classes = tuple(range(len(set(y.tolist())))) if y.dtype.kind == "i" else ()
    text = HEAD.format(base=base, width=x.shape[1], classes=classes, body=body)
    bundle = bundle_of(tmp_path, "own.py", text)
    rows = Batch({"x": x})
    held_against(bundle, taught(bundle, rows, y), rows, tmp_path, within)


@pytest.mark.faults
@pytest.mark.parametrize("classes", [("malignant", "benign"), (1, 2)])
def test_two_classes_of_river_have_any_names(tmp_path: Path, classes: tuple[Any, Any]) -> None:
    text = HEAD.format(base="RiverLearner", width=30, classes=classes, body=BODIES["river regression"][1])
    bundle, rows = bundle_of(tmp_path, "own.py", text), Batch({"x": CANCER[0]})
    y = np.array([classes[one] for one in CANCER[1]], object if isinstance(classes[0], str) else np.int64)
    learner = taught(bundle, rows, y)
    assert (learner.predict(rows)["label"] == y).mean() > 0.9
    held_against(bundle, learner, rows, tmp_path, ROUNDING)


@pytest.mark.parametrize("classes", [["benign", "malignant"], [3, 5, 9]])
def test_ftrl_with_all_that_it_takes(tmp_path: Path, classes: list[Any]) -> None:
    inputs = {
        "x": Field("x", "FP64", (-1, 3), values="missing"),
        "count": "INT32",
        "city": Field("city", "BYTES", categories=("Oslo", "Rome", "Lima"), values="missing"),
        "told": Field("told", "BOOL"),
    }
    described = spec.Spec("ftrl", inputs, tuple(classes), target="truth", options={"alpha": 0.5})
    bundle = bundle_of(tmp_path, "l.json", msgspec.json.encode(described).decode())
    rows, y = mixed(len(classes))
    outcomes = np.array([classes[place] for place in y], object if isinstance(classes[0], str) else np.int64)
    made = held_against(bundle, taught(bundle, rows, outcomes), rows, tmp_path, ROUNDING)
    assert [field.name for field in made.signature.inputs] == ["x", "count", "city", "told"]


def test_numbers_by_normalised_steps(tmp_path: Path) -> None:
    inputs = {"x": Field("x", "FP64", (-1, 3), values="missing"), "count": "INT32", "told": "BOOL",
              "city": Field("city", "BYTES", categories=("Oslo", "Rome", "Lima"), values="missing")}  # fmt: skip
    bundle = bundle_of(tmp_path, "l.json", msgspec.json.encode(spec.Spec("linear", inputs)).decode())
    rows, y = mixed(50)
    held_against(bundle, taught(bundle, rows, y * 3.5 + 1000.0), rows, tmp_path, ROUNDING)


def mixed(classes: int, rows: int = 400) -> tuple[Batch, Array]:
    """Numbers of several scales, some of them missing; texts, some of them missing; and what follows from them."""
    random = np.random.default_rng(3)
    x = random.normal(size=(rows, 3)) * [1.0, 1e3, 1e-3] + [0.0, 5e3, 0.0]
    city = random.choice(np.array(["Oslo", "Rome", "Lima", None], object), rows)
    count, told = random.integers(0, 20, rows).astype(np.int32), random.random(rows) < 0.5
    score = x[:, 0] + (city == "Rome") * 2.0 - (city == None) * 2.0 + told + count / 10  # noqa: E711 - element by element
    places = np.argsort(np.argsort(score)) * classes // rows
    x[random.random(rows) < 0.1, 0] = np.nan
    x[5, 1] = 1e9
    return Batch({"x": x, "count": count, "city": city, "told": told}), places


REFUSED = {
    "HoeffdingTreeClassifier cannot be told": ((0, 1), "from river import tree; return tree.HoeffdingTreeClassifier()"),
    "MinMaxScaler, Perceptron cannot be told": ((0, 1), RIVER + "p.MinMaxScaler() | m.Perceptron()"),
}


@pytest.mark.faults
@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_no_such_form_says_what_stands_in_the_way(tmp_path: Path, reason: str) -> None:
    classes, body = REFUSED[reason]
    bundle = bundle_of(tmp_path, "own.py", HEAD.format(base="RiverLearner", width=2, classes=classes, body=body))
    rows = Batch({"x": np.ones((1, 2))})
    with pytest.raises(ConversionRejected, match=reason):
        frozen(bundle, taught(bundle, rows, np.array([1])), rows, tmp_path / "frozen")


def test_texts_of_any_kind_are_found_by_a_hash(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, "l.json", '{"learner": "ftrl", "inputs": {"city": "BYTES"}, "classes": [0, 1]}')
    rows = Batch({"city": np.array(["Oslo"], object)})
    with pytest.raises(ConversionRejected, match="input 'city' takes any text"):
        frozen(bundle, taught(bundle, rows, np.array([1])), rows, tmp_path / "frozen")
