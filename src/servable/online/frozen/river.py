"""What a linear model of River has come to, alone or behind scalers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from servable.domain.batch import Array
from servable.domain.datatypes import FLOATS, INTEGERS
from servable.domain.signature import Signature
from servable.errors import ConversionRejected
from servable.online.learners.river import RiverLearner
from servable.online.learners.weighted import Weighted

KNOWN: Final = "StandardScaler, and behind it LogisticRegression, ALMAClassifier or LinearRegression"


def weighted(learner: RiverLearner, signature: Signature) -> Weighted:
    """Its scale and weights. Raises ConversionRejected that names every step which has no such form."""
    steps = list(learner.trained.steps.values()) if hasattr(learner.trained, "steps") else [learner.trained]
    *before, last = steps
    strange = [type(step).__name__ for step in before if not _scales(step)]
    strange += [] if _weighs(last) else [type(last).__name__]
    if strange:
        raise ConversionRejected(f"River's {', '.join(strange)} cannot be told in ONNX here: what can is {KNOWN}")
    names = _names(signature)
    mean, deviation = np.zeros(len(names)), np.ones(len(names))
    alive = np.ones(len(names))
    for step in before:
        means, roots = _moments(step, names)
        flat = roots == 0.0  # River gives 0 there, whatever comes
        roots[flat] = 1.0
        mean, deviation = mean + means * deviation, deviation * roots
        alive[flat] = 0.0
    held = last.w if hasattr(last, "w") else last.weights
    weights = np.array([float(held.get(name, 0.0)) for name in names]) * alive
    bias = np.array([float(getattr(last, "intercept", 0.0))])
    return Weighted(mean, deviation, weights[None], bias, "logistic" if learner.classes else "number")


def _scales(step: Any) -> bool:
    return type(step).__name__ == "StandardScaler" and step.window_size is None


def _weighs(step: Any) -> bool:
    kind = type(step).__name__
    if kind == "LogisticRegression":
        return type(step.loss).__name__ == "Log"
    return kind in {"ALMAClassifier", "LinearRegression"}


def _moments(step: Any, names: list[str]) -> tuple[Array, Array]:
    means = np.array([float(step.means[name]) for name in names])
    roots = np.array([float(step.vars[name]) ** 0.5 if step.with_std else 1.0 for name in names])
    return means, roots


def _names(signature: Signature) -> list[str]:
    """The features as River knows them."""
    names = []
    for field in signature.inputs:
        if field.datatype not in FLOATS | INTEGERS | {"BOOL"}:
            raise ConversionRejected(f"input {field.name!r} is text, of which River's linear models learn nothing")
        if len(field.shape) == 1:
            names.append(field.name)
        else:
            names += [f"{field.name}[{place}]" for place in range(int(np.prod(field.shape[1:], dtype=np.int64)))]
    return names
