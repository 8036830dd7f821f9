"""Any model element: its mining schema, its local fields, its own kind of model, its targets and its output fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from servable.errors import CorruptModel
from servable.runtimes.pmml import output
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.expressions import add_derived
from servable.runtimes.pmml.fields import DataField, Treat, active, target, treatment
from servable.runtimes.pmml.output import Output
from servable.runtimes.pmml.result import Result, Shape, Targets
from servable.runtimes.pmml.values import NUMBER, TEXT, Floats, Names, Scope

Translator = Callable[[Element, Names, Shape], tuple[Callable[[Scope], Result], Shape]]

TRANSLATORS: Final[dict[str, Translator]] = {}
"""Model element to what translates it; filled by `translate.py`."""

MODELS: Final = (
    "TreeModel", "RegressionModel", "GeneralRegressionModel", "MiningModel", "Scorecard", "ClusteringModel",
    "NaiveBayesModel", "SupportVectorMachineModel", "NeuralNetwork", "NearestNeighborModel", "RuleSetModel",
    "AnomalyDetectionModel", "AssociationModel", "BaselineModel", "BayesianNetworkModel", "GaussianProcessModel",
    "SequenceModel", "TextModel", "TimeSeriesModel",
)  # fmt: skip
"""Every kind of model that PMML 4.4 has; those that TRANSLATORS lacks are refused by name."""


class Built(msgspec.Struct, frozen=True):
    """A translated model. `run` gives its result in the scope of its surroundings; `answer` its output fields, too."""

    run: Callable[[Scope], Result]
    answer: Callable[[Scope], tuple[Result, dict[str, Floats]]]
    shape: Shape
    outputs: tuple[Output, ...]


def build(model: Element, outer: Names, data: Mapping[str, DataField] | None, given: Shape | None) -> Built:
    """Translate a model. `data` is the dictionary for the outermost one; `given` the shape that surroundings expect."""
    if model.tag not in TRANSLATORS:
        raise unsupported(model)
    if not model.flag("isScorable", default=True):
        raise CorruptModel(f"{model} says that it cannot be used for scoring (isScorable=false)")
    names = Names(outer.texts, outer)
    treatments: dict[str, Treat] = {}
    for mining in active(model):
        name = mining.must("name")
        known = data.get(name) if data is not None else None
        if data is not None and known is None and outer.kind(name) is None:
            raise CorruptModel(f"{mining} names the field {name!r}, which the <DataDictionary> lacks")
        found = treatment(mining, known, names)
        if found is not None:
            treatments[name] = found
    add_derived(model.first("LocalTransformations"), names)
    shape = _shape(model, names, data, given)
    run, shape = TRANSLATORS[model.tag](model, names, shape)
    targets = Targets(model, shape)
    outputs = output.translate(model.first("Output"), names, shape)

    def inside(scope: Scope) -> Scope:
        if not treatments and not names.derived:
            return scope
        columns = {name: treat(scope.get(name), scope) for name, treat in treatments.items()}
        return Scope(scope.call, columns, names.derived, scope)

    def answer(scope: Scope) -> tuple[Result, dict[str, Floats]]:
        inner = inside(scope)
        result = targets.apply(run(inner))
        return result, {**result.more, **output.columns(outputs, result, inner)}

    return Built(lambda scope: targets.apply(run(inside(scope))), answer, shape, outputs)


def _shape(model: Element, names: Names, data: Mapping[str, DataField] | None, given: Shape | None) -> Shape:
    """What the model predicts: by its target field, by its surroundings, or by the labels in it."""
    function = model.must("functionName")
    if function == "regression":
        return Shape(function, NUMBER)
    if function not in {"classification", "clustering", "mixed"}:
        raise unsupported(model, f"the function {function!r}")
    name = target(model)
    kind = names.kind(name) if name else None
    if name and data and name in data:
        kind, labels = data[name].kind, data[name].values
    elif given is not None and given.function == function and given.classes:
        return given
    else:
        labels = ()
    labels = labels or _labels(model)
    kind = kind or TEXT
    codes = tuple(names.literal(label, kind, model) for label in labels)
    return Shape(function, kind, labels, codes)


def _labels(model: Element) -> tuple[str, ...]:
    """The labels that a model names, in order."""
    attributes = {
        "RegressionTable": "targetCategory", "ScoreDistribution": "value", "Node": "score", "PCell": "targetCategory",
        "TargetValueCount": "value", "SimpleRule": "score", "SupportVectorMachine": "targetCategory",
    }  # fmt: skip
    found: dict[str, None] = {}
    waiting = [model]
    while waiting:
        element = waiting.pop()
        name = attributes.get(element.tag)
        if name and name in element.attributes:
            found[element.get(name)] = None
        waiting.extend(reversed(element.children))
    return tuple(found)
