"""CatBoost models, by catboost: its binary file (cbm), the only one of its formats that is whole and data only.

Categorical features are text, a whole number being written without a point; CatBoost takes no missing ones. One thread
a call. Models with text or embedding features are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.datatypes import datatype_of
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection, labels_of
from servable.domain.signature import Signature
from servable.errors import CorruptModel, IncompatibleModel, MissingExtra, ModelFailed
from servable.runtimes import verified
from servable.runtimes.agreement import agree
from servable.runtimes.classes import EVEN, LABEL, PREDICTION, PROBABILITIES, Classes, each
from servable.runtimes.devices import only_cpu
from servable.runtimes.features import MATRIX
from servable.runtimes.versions import not_newer

_MAGIC: Final = b"CBM1"
_HEADER: Final = 8
"""The magic, then the size of what follows, as four bytes."""
_CLASSES: Final = {"Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll"}
_SEVERAL: Final = {"MultiLogloss", "MultiCrossEntropy"}
_KINDS: Final = {"Poisson": "Exponent", "Tweedie": "Exponent", "RMSEWithUncertainty": "RMSEWithUncertainty"}
"""What CatBoostRegressor predicts for a loss, where it is not the raw value."""
BINARY: Final = 2

Answer = Callable[[Any], dict[str, Array]]


class CatBoostRuntime:
    """The plugin."""

    name = "catboost"
    platform = "catboost_cbm"
    isolated = False
    fragile = True
    """A broken file can kill the process that parses it: bare ones are tried in another first."""

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002 - the bytes say it all
        return head.startswith(_MAGIC)

    def inspect(self, path: Path) -> Inspection:
        """Features and classes as the file has them."""
        model, version = _model(path.read_bytes(), path.name)
        inputs = _inputs(model)
        signature = Signature(inputs, _outputs(model, path.name))
        return Inspection(signature, labels_of(signature.outputs), {"catboost": version} if version else {})

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("CatBoost models", device)
        model, _ = _model(verified.read(bundle), bundle.manifest.model)
        agree(bundle, bundle.signature.inputs, _outputs(model, bundle.manifest.model))
        return CatBoostModel(model, bundle)


class CatBoostModel:
    """A model and the order of its features. Applying it does not change it, so threads may call it together."""

    concurrent = True

    def __init__(self, model: Any, bundle: Bundle) -> None:
        self._names = tuple(bundle.manifest.options.get("features") or model.feature_names_)
        self._text = set(model.get_cat_feature_indices())
        self._answer: Answer | None = _answer(model, int(bundle.manifest.options.get("threads", 1)))
        self._matrix = None if self._text else _matrix_input(bundle.signature, self._names)
        self._signature = bundle.signature
        self._columns = {} if self._matrix else _columns(bundle, self._names)

    def predict(self, batch: Batch) -> Batch:
        if self._answer is None:
            raise ModelFailed("the model is closed")
        if not batch.rows:
            return self.predict(self._signature.example()).slice(0, 0)
        try:
            return Batch(self._answer(self._table(batch)), batch.rows)
        except Exception as error:
            raise ModelFailed(f"catboost: {str(error).strip()[:300]}") from error

    def close(self) -> None:
        self._answer = None

    def _table(self, batch: Batch) -> Array:
        """[rows, features] in the model's order: float32, or objects where there are categories."""
        if self._matrix is not None:
            return batch.columns[self._matrix]
        table = np.empty((batch.rows, len(self._names)), object if self._text else np.float32)
        for at, name in enumerate(self._names):
            source, column = self._columns[name]
            array = batch.columns[source]
            table[:, at] = array[:, column] if array.ndim > 1 else array
        return table


def _model(data: bytes, name: str) -> tuple[Any, str]:
    """The loaded model and the version of the library that made it."""
    try:
        import catboost
    except ImportError as error:
        raise MissingExtra("catboost", f"load {name!r}", missing=error.name) from error
    made_by = re.search(rb"CatBoost release (\d+(?:\.\d+)*)", data)
    version = made_by[1].decode() if made_by else ""
    not_newer("catboost", version, catboost.__version__, name)
    if len(data) < _HEADER or len(data) < _HEADER + int.from_bytes(data[4:_HEADER], "little"):
        raise CorruptModel(f"{name!r} is a cut off CatBoost model")
    model = catboost.CatBoost()
    try:
        model.load_model(blob=data, format="cbm")
    except Exception as error:  # a wall: catboost raises its own error, a bare C++ one or a TypeError for broken bytes
        raise CorruptModel(f"catboost {catboost.__version__} cannot load {name!r}: {str(error)[:300]}") from error
    if not model.feature_names_:
        raise CorruptModel(f"{name!r} is a CatBoost model without features")
    if model.get_text_feature_indices() or model.get_embedding_feature_indices():
        raise IncompatibleModel(f"{name!r} has text or embedding features, which are not served: train it without them")
    return model, version


def _inputs(model: Any) -> tuple[Field, ...]:
    names, text = list(model.feature_names_), set(model.get_cat_feature_indices())
    if not text:
        made_up = names == [str(at) for at in range(len(names))]
        return (Field(MATRIX, "FP32", (-1, len(names)), () if made_up else tuple(names), values="missing"),)
    return tuple(
        Field(name, "BYTES", (-1, 1)) if at in text else Field(name, "FP32", (-1, 1), values="missing")
        for at, name in enumerate(names)
    )


def _answer(model: Any, threads: int) -> Answer:
    """What turns a table into outputs, chosen once by the loss the model was trained with."""
    loss = str(model._object._get_loss_function_name() or "").partition(":")[0]
    values = [value.item() if hasattr(value, "item") else value for value in model.classes_]

    def run(table: Any, kind: str) -> Array:
        return np.asarray(model.predict(table, kind, thread_count=threads))

    if loss in _SEVERAL:
        return lambda table: each(run(table, "Probability"))
    if loss not in _CLASSES or not values:
        kind = _KINDS.get(loss, "RawFormulaVal")
        return lambda table: {PREDICTION: run(table, kind)}
    classes = Classes(values)
    threshold = model._object._get_binclass_probability_threshold()
    if len(values) != BINARY or threshold == EVEN:
        return lambda table: classes.answer(run(table, "Probability"))

    def above(table: Any) -> dict[str, Array]:
        shares = run(table, "Probability")
        return {LABEL: classes.values[(shares[:, 1] > threshold).astype(int)], PROBABILITIES: shares}

    return above


def _outputs(model: Any, name: str) -> tuple[Field, ...]:
    """The output fields, from the answer to one row. Raises CorruptModel where there is none."""
    text = set(model.get_cat_feature_indices())
    row = np.array(
        [["" if at in text else 0.0 for at in range(len(model.feature_names_))]], object if text else np.float32
    )
    try:
        found = _answer(model, 1)(row)
    except Exception as error:  # a wall: broken parts show when they are asked
        raise CorruptModel(f"{name!r} is a broken CatBoost model: {str(error)[:300]}") from error
    names = tuple(str(value) for value in model.classes_)
    return tuple(
        Field(
            name,
            datatype_of(array.dtype),
            (-1, *array.shape[1:]),
            names if name == PROBABILITIES and array.shape[1:] == (len(names),) else (),
            values="any" if array.dtype.kind == "f" else "finite",
        )
        for name, array in found.items()
    )


def _matrix_input(signature: Signature, names: tuple[str, ...]) -> str | None:
    """The one float32 matrix that holds all features in the model's own order, if that is the signature."""
    only = signature.inputs[0]
    whole = only.shape == (-1, len(names)) and only.features in {(), names} and only.datatype == "FP32"
    return only.name if len(signature.inputs) == 1 and whole else None


def _columns(bundle: Bundle, names: tuple[str, ...]) -> dict[str, tuple[str, int]]:
    """Where each feature is: an input and a column of it."""
    found: dict[str, tuple[str, int]] = {}
    for field in bundle.signature.inputs:
        found.update(
            {name: (field.name, at) for at, name in enumerate(field.features)} or {field.name: (field.name, 0)}
        )
    if missing := [name for name in names if name not in found]:
        raise CorruptModel(
            f"no input of bundle {bundle.name!r} holds the model's features {', '.join(missing)}: pack it again"
        )
    return found
