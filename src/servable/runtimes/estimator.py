"""What a fitted scikit-learn estimator answers, by name: the outputs that every other form of it must reproduce.

Works on anything with scikit-learn's methods: pipelines, searches, and the wrappers of XGBoost, LightGBM and CatBoost.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import datatype_of
from servable.domain.field import Field
from servable.errors import IncompatibleModel
from servable.runtimes.classes import LABEL, PREDICTION, PROBABILITIES, SCORES

TRANSFORMED: Final = "transformed"
_MATRIX: Final = 2

Answer = Callable[[Any], dict[str, Array]]


def answer_of(estimator: Any) -> Answer:
    """The function from a table to outputs, chosen once. Raises IncompatibleModel for what cannot answer new rows.

    Classifiers give `label` and `probabilities` (`scores` where they have none), outlier detectors `label` and
    `scores`, regressors `prediction`, clusterers `label`, transformers `transformed`.
    """
    names = [
        name for name in ("predict", "predict_proba", "decision_function", "transform") if hasattr(estimator, name)
    ]
    if "predict" not in names:
        if "transform" not in names:
            raise IncompatibleModel(
                f"{type(estimator).__name__} has neither predict nor transform for new rows: it cannot be served"
            )
        return lambda table: {TRANSFORMED: _dense(estimator.transform(table))}
    kind = kind_of(estimator)
    if kind == "regressor":
        return lambda table: {PREDICTION: _numbers(estimator.predict(table))}
    if kind == "classifier" and "predict_proba" in names:
        return lambda table: _classified(estimator, table)
    if kind in {"classifier", "outlier_detector"} and "decision_function" in names:
        return lambda table: {
            LABEL: labels(estimator.predict(table)),
            SCORES: _numbers(estimator.decision_function(table)),
        }
    return lambda table: {LABEL: labels(estimator.predict(table))}


@cache
def _controller() -> Any:
    """What sets the threads of the numeric libraries that scikit-learn has loaded."""
    try:
        import threadpoolctl
    except ImportError:  # it comes with scikit-learn: without that, nothing here wakes threads
        return None
    return threadpoolctl.ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """While it is open, numeric libraries use one thread: for few rows, waking more costs up to fifty times the
    call.
    """
    controller = _controller()
    limited: AbstractContextManager[Any] = nullcontext() if controller is None else controller.limit(limits=1)
    return limited


def single_job(estimator: Any) -> Any:
    """The estimator, told to predict without helpers, in all its parts."""
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    jobs = {name: 1 for name, value in parameters.items() if name.rpartition("__")[2] == "n_jobs" and value != 1}
    return estimator.set_params(**jobs) if jobs else estimator


def kind_of(estimator: Any) -> str:
    """`classifier`, `regressor`, `clusterer`, `outlier_detector`, or empty."""
    try:
        from sklearn.utils import get_tags

        kind = get_tags(estimator).estimator_type
    except Exception:  # noqa: BLE001 - a wall: wrappers of other libraries raise anything for tags they do not have
        kind = getattr(estimator, "_estimator_type", None)
    if kind is None and hasattr(estimator, "predict"):
        kind = "classifier" if hasattr(estimator, "predict_proba") else "regressor"
    return str(kind or "")


def class_names(estimator: Any) -> tuple[str, ...]:
    """The classes of a classifier with one answer a row; empty otherwise."""
    classes = getattr(estimator, "classes_", None)
    if kind_of(estimator) != "classifier" or classes is None or isinstance(classes, list) or np.ndim(classes) != 1:
        return ()
    return tuple(map(str, np.asarray(classes).tolist()))


def output_fields(answer: Batch, classes: tuple[str, ...]) -> tuple[Field, ...]:
    """Fields that describe an answer; the numbers for each class are named by it."""
    fields = []
    for name, array in answer.columns.items():
        named = name in {PROBABILITIES, SCORES} and array.ndim == _MATRIX and array.shape[1] == len(classes)
        datatype = datatype_of(array.dtype)
        values = "any" if array.dtype.kind == "f" else "finite"
        shape = (-1, *array.shape[1:])
        fields.append(
            Field(name, datatype, shape, classes if named else (), values="any" if values == "any" else "finite")
        )
    return tuple(fields)


def labels(found: Any) -> Array:
    """Class labels as an array the wire can carry: text as objects, whole numbers as int64."""
    array = np.asarray(found)
    if array.ndim == _MATRIX and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind in "US":
        return array.astype(object)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype == object:
        kinds = {type(value) for value in array.flat}
        if kinds <= {int} or kinds <= {bool}:
            return array.astype(bool if bool in kinds else np.int64)
        return np.asarray(np.frompyfunc(str, 1, 1)(array), object)
    return array


def _classified(estimator: Any, table: Any) -> dict[str, Array]:
    found = {LABEL: labels(estimator.predict(table))}
    shares = estimator.predict_proba(table)
    if not isinstance(shares, list):  # a list: several outputs of several classes each, which no one matrix can hold
        found[PROBABILITIES] = _numbers(shares)
    return found


def _numbers(found: Any) -> Array:
    """Floats [rows], or [rows, n] for several a row."""
    array = _dense(found)
    if array.ndim == _MATRIX and array.shape[1] == 1:
        array = array[:, 0]
    return array if array.dtype in {np.dtype(np.float32), np.dtype(np.float64)} else array.astype(np.float64)


def _dense(found: Any) -> Array:
    array = found.toarray() if hasattr(found, "toarray") else np.asarray(found)
    if array.dtype.kind in "US":
        return np.asarray(array.astype(object))
    return np.asarray(array)
