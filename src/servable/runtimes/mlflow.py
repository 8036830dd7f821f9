"""MLflow's `python_function` with code of its own: loaded by MLflow, so only by consent, in a model process.

Other MLflow folders hold a model of a format that is served as such: `mlflow_folder.py` finds it.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.domain.signature import Signature
from servable.errors import CorruptModel, EnvironmentFault, IncompatibleModel, MissingExtra, ModelFailed
from servable.runtimes import consent, verified, versions
from servable.runtimes.classes import PREDICTION
from servable.runtimes.devices import only_cpu
from servable.runtimes.estimator import labels, output_fields
from servable.runtimes.frame import Columns, FrameMaker
from servable.runtimes.mlflow_folder import is_mlflow, read

WHAT: Final = "an MLflow python_function"
_DTYPES: Final = {"FP64": "float64", "FP32": "float32", "INT64": "int64", "INT32": "int32", "BOOL": "bool"}


class MLflowRuntime:
    """The plugin."""

    name = "mlflow"
    platform = "mlflow_pyfunc"
    isolated = True
    code = True

    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002 - it is a folder
        if not is_mlflow(path):
            return False
        try:
            return read(path).model == path
        except (CorruptModel, IncompatibleModel, MissingExtra):
            return True  # and reading it again tells why

    def inspect(self, path: Path) -> Inspection:
        """Refuses: to load it is to run its code."""
        read(path)
        raise consent.refuse(path.name, WHAT)

    def declared(self, path: Path, known: Inspection | None = None, rows: Batch | None = None) -> Inspection:
        """Inputs as its signature says, outputs as it answers: for packing, after consent."""
        del known  # what the folder itself says of its columns is more than what a sample shows
        stated = read(path)
        if not stated.inputs:
            raise IncompatibleModel(f"{path.name!r} has no signature of columns: save it with one (infer_signature)")
        signature = Signature(stated.inputs, ())
        batch = signature.example() if rows is None or signature.check(rows) else rows
        answer = _answer(_loaded(path), FrameMaker(_columns(signature), signature).frame(batch))
        outputs = output_fields(Batch(answer, batch.rows), ())
        libraries = {"mlflow": versions.installed("mlflow") or versions.installed("mlflow-skinny") or stated.version}
        return Inspection(Signature(stated.inputs, outputs), libraries=libraries)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("MLflow models", device)
        consent.demand(bundle, WHAT)
        with ExitStack() as kept:
            function = _loaded(kept.enter_context(verified.copied(bundle)))
            return _Function(function, bundle.signature, kept.pop_all())


class _Function:
    """The function as a Model: a DataFrame goes in."""

    concurrent = False

    def __init__(self, function: Any, signature: Signature, kept: ExitStack) -> None:
        """`kept`: the copy of its files, which its code may open at any time."""
        self._function = function
        self._kept = kept
        self._frames = FrameMaker(_columns(signature), signature)
        self._outputs = signature.outputs

    def predict(self, batch: Batch) -> Batch:
        if self._function is None:
            raise ModelFailed("the model is closed")
        if not batch.rows:
            return Batch({field.name: np.empty((0, *field.shape[1:]), field.dtype) for field in self._outputs}, 0)
        found = _answer(self._function, self._frames.frame(batch))
        return Batch({field.name: found[field.name].astype(field.dtype) for field in self._outputs}, batch.rows)

    def close(self) -> None:
        self._function = None
        self._kept.close()


def _loaded(path: Path) -> Any:
    try:
        from mlflow import pyfunc
    except ImportError as error:
        raise EnvironmentFault(
            f"{path.name!r} is loaded by MLflow, which is not installed: run  pip install mlflow-skinny  or pack it "
            "with --requirements FILE that says so"
        ) from error
    try:
        return pyfunc.load_model(str(path))
    except Exception as error:  # a wall: loading runs its code
        reason = " ".join(str(error).split())[:300]
        raise CorruptModel(f"MLflow cannot load {path.name!r} ({type(error).__name__}: {reason})") from error


def _columns(signature: Signature) -> Columns:
    names = tuple(field.name for field in signature.inputs)
    dtypes = ("datetime64[ns]" if each.content else _DTYPES.get(each.datatype, "object") for each in signature.inputs)
    return Columns(names, tuple(dtypes), none=names)


def _answer(function: Any, frame: Any) -> dict[str, Array]:
    """A table gives an output a column, anything else one output `prediction`."""
    found = function.predict(frame)
    if hasattr(found, "columns"):
        return {str(name): labels(found[name].to_numpy()) for name in found.columns}
    if isinstance(found, dict):
        return {str(name): labels(value) for name, value in found.items()}
    return {PREDICTION: labels(found.to_numpy() if hasattr(found, "to_numpy") else found)}
