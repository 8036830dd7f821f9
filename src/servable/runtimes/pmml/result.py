"""What a model of a document gives for a batch, and what <Targets> make of it."""

from __future__ import annotations

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.values import Floats


class Shape(msgspec.Struct, frozen=True):
    """What is known of a model's results before there are any.

    `classes` are the labels as written, `codes` as columns hold them; both are empty for a regression. `kind` is that
    of the predicted value.
    """

    function: str
    kind: str
    classes: tuple[str, ...] = ()
    codes: tuple[float, ...] = ()
    entities: tuple[str, ...] = ()
    scored: bool = True
    """Whether there is a probability for each class, rather than some other number."""
    more: tuple[tuple[str, str], ...] = ()
    """Names and kinds of the output fields of the last model of a chain."""


class Result(msgspec.Struct):
    """`value` is the predicted column; `scores` are probabilities (or what stands for them) [rows, classes].

    `entity` is the index of the winning node or cluster among the shape's `entities`; `reasons` are codes by rank.
    """

    value: Floats
    scores: Floats | None = None
    entity: Array | None = None
    reasons: list[list[str]] | None = None
    affinities: Floats | None = None
    ranked: Array | None = None
    """Entities from the nearest on, [rows, neighbours]."""
    more: dict[str, Floats] = {}


def elected(shape: Shape, scores: Floats) -> Result:
    """The result of scores: the class with the highest, the first of equals; missing where a row has none."""
    gone = np.asarray(np.isnan(scores).any(axis=1))
    best = np.where(gone[:, None], -np.inf, scores).argmax(axis=1)
    value = np.array(shape.codes)[best]
    value[gone] = np.nan
    return Result(value, scores)


class Targets:
    """The <Target> of a model: what is done to a predicted number, and what stands in for a missing one."""

    def __init__(self, model: Element, shape: Shape) -> None:
        targets = model.first("Targets")
        found = next(iter(targets.all("Target")), None) if targets else None
        self._target = found if found is not None and shape.function == "regression" else None
        if found is None:
            return
        if shape.function != "regression":
            if any(value.attributes.keys() & {"priorProbability"} for value in found.all("TargetValue")):
                raise unsupported(found, "prior probabilities")
            return
        self._factor, self._constant = found.number("rescaleFactor", 1.0), found.number("rescaleConstant", 0.0)
        self._low, self._high = found.number("min", -np.inf), found.number("max", np.inf)
        self._cast = found.get("castInteger")
        value = found.first("TargetValue")
        self._default = value.number("defaultValue") if value and "defaultValue" in value.attributes else np.nan

    def apply(self, result: Result) -> Result:
        """Limits, then scale, then rounding. The order is that of dmg.org, PMML 4.4, "Targets"."""
        if self._target is None:
            return result
        value = np.clip(result.value, self._low, self._high) * self._factor + self._constant
        if self._cast:
            value = np.ceil(value) if self._cast == "ceiling" else np.floor(value + 0.5 * (self._cast == "round"))
        result.value = np.where(np.isnan(value), self._default, value)
        return result
