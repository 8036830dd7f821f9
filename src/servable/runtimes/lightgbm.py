"""LightGBM models, by lightgbm: text files. Answers as LGBMClassifier and LGBMRegressor give them.

Thresholds are float64, so the input is too. One thread a call. The file does not hold class names: `options.classes`
does where the model was packed from an object that knew them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection, labels_of
from servable.domain.signature import Signature
from servable.errors import CorruptModel, MissingExtra, ModelFailed
from servable.runtimes import verified
from servable.runtimes.agreement import agree
from servable.runtimes.classes import PREDICTION, Classes, both
from servable.runtimes.devices import only_cpu
from servable.runtimes.features import Assembler, input_fields, renamed
from servable.runtimes.lightgbm_file import LightGBMFile, is_lightgbm, read

_BINARY: Final = {"binary"}
_MULTICLASS: Final = {"multiclass", "multiclassova"}

Answer = Callable[[Array], dict[str, Array]]


class LightGBMRuntime:
    """The plugin."""

    name = "lightgbm"
    platform = "lightgbm_text"
    isolated = False
    fragile = True
    """A broken file can kill the process that parses it: bare ones are tried in another first."""

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002 - the bytes say it all
        return is_lightgbm(head)

    def inspect(self, path: Path) -> Inspection:
        """Features, categories and the number of classes as the file has them."""
        data = path.read_bytes()
        file = read(data, path.name)
        booster = _booster(data, path.name)
        signature = Signature(input_fields(file.features, "FP64", named=file.named), _outputs(file, booster, None))
        return Inspection(signature, labels_of(signature.outputs))

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("LightGBM models", device)
        data = verified.read(bundle)
        file = read(data, bundle.manifest.model)
        options = bundle.manifest.options
        booster = _booster(data, bundle.manifest.model)
        classes = options.get("classes")
        agree(bundle, bundle.signature.inputs, _outputs(file, booster, classes))
        features = renamed(file.features, options.get("features"))
        answer = _answer(booster, file, classes, int(options.get("threads", 1)))
        return LightGBMModel(answer, Assembler(bundle, features, np.float64))


class LightGBMModel:
    """A booster behind its assembler. LightGBM's prediction takes a shared lock: threads may call it together."""

    concurrent = True

    def __init__(self, answer: Answer, assembler: Assembler) -> None:
        self._answer: Answer | None = answer
        self._assembler = assembler

    def predict(self, batch: Batch) -> Batch:
        if self._answer is None:
            raise ModelFailed("the model is closed")
        matrix = self._assembler.matrix(batch)
        if not batch.rows:
            return Batch(self._answer(np.zeros((1, matrix.shape[1]))), 1).slice(0, 0)
        try:
            return Batch(self._answer(matrix), batch.rows)
        except Exception as error:
            raise ModelFailed(f"lightgbm: {str(error).strip()[:300]}") from error

    def close(self) -> None:
        self._answer = None


def _booster(data: bytes, name: str) -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtra("lightgbm", f"load {name!r}", missing=error.name) from error
    try:
        return lightgbm.Booster(model_str=data.decode())
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise CorruptModel(f"lightgbm {lightgbm.__version__} cannot load {name!r}: {error}") from error


def _answer(booster: Any, file: LightGBMFile, classes: list[Any] | None, threads: int) -> Answer:
    """What turns a matrix into outputs, chosen once by the objective."""
    kind = file.objective.split(" ")[0]

    def run(matrix: Array) -> Array:
        found: Array = booster.predict(matrix, num_threads=threads)
        return found

    if kind in _BINARY:
        binary = Classes(classes or range(2))
        return lambda matrix: binary.answer(both(run(matrix)))
    if kind in _MULTICLASS:
        many = Classes(classes or range(file.classes))
        return lambda matrix: many.answer(run(matrix))
    return lambda matrix: {PREDICTION: run(matrix)}


def _outputs(file: LightGBMFile, booster: Any, classes: list[Any] | None) -> tuple[Field, ...]:
    found = _answer(booster, file, classes, 1)(np.zeros((1, len(file.features))))
    if PREDICTION not in found:
        return Classes(classes or range(max(2, file.classes))).fields("FP64")
    return (Field(PREDICTION, "FP64", (-1, *found[PREDICTION].shape[1:]), values="any"),)
