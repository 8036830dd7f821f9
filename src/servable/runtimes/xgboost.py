"""XGBoost models, by xgboost: JSON and UBJ files. Answers as XGBClassifier and XGBRegressor give them.

One thread a call. Early stopping is honoured: where the file says which iteration was best, later trees do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection, labels_of
from servable.domain.signature import Signature
from servable.errors import CorruptModel, EnvironmentFault, MissingExtra, ModelFailed
from servable.runtimes import verified
from servable.runtimes.agreement import agree
from servable.runtimes.classes import LABEL, PREDICTION, PROBABILITIES, Classes, both, each, softmax
from servable.runtimes.devices import CPU, kind_and_number
from servable.runtimes.features import Assembler, input_fields, renamed
from servable.runtimes.versions import not_newer
from servable.runtimes.xgboost_file import XGBoostFile, is_xgboost, read

Answer = Callable[[Array], dict[str, Array]]


class XGBoostRuntime:
    """The plugin."""

    name = "xgboost"
    platform = "xgboost_ubj"
    isolated = False
    fragile = True
    """A broken file can kill the process that parses it: bare ones are tried in another first."""

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002 - the bytes say it all
        return is_xgboost(head)

    def inspect(self, path: Path) -> Inspection:
        """Features, categories and classes as the file has them."""
        data = path.read_bytes()
        file = read(data, path.name)
        booster = _booster(data, file, path.name, 1)
        outputs = _outputs(file, booster)
        fields = input_fields(file.features, "FP32", named=file.named)
        signature = Signature(fields, outputs)
        return Inspection(signature, labels_of(outputs), {"xgboost": ".".join(map(str, file.version))})

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        data = verified.read(bundle)
        file = read(data, bundle.manifest.model)
        booster = _booster(data, file, bundle.manifest.model, int(bundle.manifest.options.get("threads", 1)))
        if device != CPU:
            _move(booster, device)
        agree(bundle, bundle.signature.inputs, _outputs(file, booster))
        features = renamed(file.features, bundle.manifest.options.get("features"))
        return XGBoostModel(booster, file, Assembler(bundle, features, np.float32))


class XGBoostModel:
    """A booster. Prediction in place: no DMatrix is built, and nothing is cached between calls."""

    def __init__(self, booster: Any, file: XGBoostFile, assembler: Assembler) -> None:
        self._assembler = assembler
        self._answer: Answer | None = _answer(booster, file)
        self.concurrent = file.booster != "gblinear"
        """Tree boosters predict from several threads at once; the linear one does not promise to."""

    def predict(self, batch: Batch) -> Batch:
        if self._answer is None:
            raise ModelFailed("the model is closed")
        matrix = self._assembler.matrix(batch)
        if not batch.rows:
            row = np.zeros((1, matrix.shape[1]), np.float32)
            return Batch(self._answer(row), 1).slice(0, 0)
        try:
            return Batch(self._answer(matrix), batch.rows)
        except Exception as error:
            raise ModelFailed(f"xgboost: {str(error).partition('Stack trace')[0].strip()}") from error

    def close(self) -> None:
        self._answer = None


def _move(booster: Any, device: str) -> None:
    """To a graphics card. Raises EnvironmentFault where there is none: XGBoost would warn, and stay on the CPU."""
    import xgboost

    kind, _ = kind_and_number(device)
    if kind != "cuda" or not xgboost.build_info().get("USE_CUDA"):
        raise EnvironmentFault(
            f"XGBoost here cannot use device {device!r}: install the xgboost that is built for CUDA, or load on 'cpu'"
        )
    try:
        booster.set_param({"device": device})
    except xgboost.core.XGBoostError as error:
        raise EnvironmentFault(f"XGBoost cannot use device {device!r}: {str(error).splitlines()[0][:300]}") from error


def _booster(data: bytes, file: XGBoostFile, name: str, threads: int) -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise MissingExtra("xgboost", f"load {name!r}", missing=error.name) from error
    not_newer("xgboost", ".".join(map(str, file.version)), xgboost.__version__, name)
    booster = xgboost.Booster({"nthread": threads})
    try:
        booster.load_model(bytearray(data))
    except xgboost.core.XGBoostError as error:
        first = str(error).strip().splitlines()[0][:300] if str(error).strip() else "no reason given"
        raise CorruptModel(f"xgboost {xgboost.__version__} cannot load {name!r}: {first}") from error
    booster.set_param({"nthread": threads})
    return booster


def _answer(booster: Any, file: XGBoostFile) -> Answer:
    """What turns a matrix into outputs, chosen once by the objective."""
    trees = (0, 0) if file.best_iteration is None else (0, file.best_iteration + 1)

    def run(matrix: Array, kind: str = "value") -> Array:
        found: Array = booster.inplace_predict(
            matrix, iteration_range=trees, predict_type=kind, validate_features=False, strict_shape=True
        )
        return found

    if file.booster == "gblinear":
        run = _linear(booster)
    if file.objective in {"multi:softprob", "multi:softmax"}:
        classes = Classes(range(file.classes))
        if file.objective == "multi:softmax":
            return lambda matrix: classes.answer(softmax(run(matrix, "margin")))
        return lambda matrix: classes.answer(run(matrix))
    if file.objective == "binary:logistic" and file.targets == 1:
        binary = Classes(range(2))
        return lambda matrix: binary.answer(both(run(matrix)))
    if file.objective == "binary:logistic":
        return lambda matrix: each(run(matrix))
    if file.objective == "binary:hinge":
        return lambda matrix: {LABEL: run(matrix)[:, 0].astype(np.int64)}
    return lambda matrix: {PREDICTION: _flat(run(matrix))}


def _linear(booster: Any) -> Callable[..., Array]:
    """The linear booster cannot predict in place."""
    import xgboost

    def run(matrix: Array, kind: str = "value") -> Array:
        data = xgboost.DMatrix(matrix, nthread=1)
        found: Array = booster.predict(data, output_margin=kind == "margin", strict_shape=True, validate_features=False)
        return found

    return run


def _flat(values: Array) -> Array:
    """A single column as [rows]."""
    return values[:, 0] if values.shape[1] == 1 else values


def _outputs(file: XGBoostFile, booster: Any) -> tuple[Field, ...]:
    """The output fields, from the answer to one row."""
    row = np.zeros((1, len(file.features)), np.float32)
    found = _answer(booster, file)(row)
    if LABEL in found and found[LABEL].ndim == 1 and PROBABILITIES in found:
        return Classes(range(found[PROBABILITIES].shape[1])).fields("FP32")
    return tuple(
        Field(name, "INT64" if array.dtype.kind == "i" else "FP32", (-1, *array.shape[1:]), values="any")
        for name, array in found.items()
    )
