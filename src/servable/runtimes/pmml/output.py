"""<Output>: the fields that a document adds to its prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.expressions import EXPRESSIONS, expression
from servable.runtimes.pmml.result import Result, Shape
from servable.runtimes.pmml.values import NUMBER, TEXT, Floats, Names, Scope, cast, kind_of

Give = Callable[[Result, Scope], Floats]


class Output(msgspec.Struct, frozen=True):
    """An output field; `final` ones are shown to clients."""

    name: str
    kind: str
    give: Give
    final: bool
    integer: bool


def translate(element: Element | None, names: Names, shape: Shape) -> tuple[Output, ...]:
    """The output fields, in order: each may use those before it."""
    inner = Names(names.texts, names)
    found = []
    for field in element.all("OutputField") if element else ():
        give, kind = _feature(field, inner, shape)
        data_type = field.get("dataType")
        if kind == NUMBER and data_type in {"float", "integer"}:
            give = _held(give, data_type)
        name = field.must("name")
        inner.kinds[name] = kind
        found.append(Output(name, kind, give, field.flag("isFinalResult", default=True), data_type == "integer"))
    return tuple(found)


def columns(outputs: Sequence[Output], result: Result, scope: Scope) -> dict[str, Floats]:
    """The output fields' columns by name."""
    inner = Scope(scope.call, {}, {}, scope)
    for output in outputs:
        inner.columns[output.name] = output.give(result, inner)
    return inner.columns


def _held(give: Give, data_type: str) -> Give:
    return lambda result, scope: cast(give(result, scope), data_type)


def _feature(field: Element, names: Names, shape: Shape) -> tuple[Give, str]:
    feature = field.get("feature", "predictedValue")
    if "segmentId" in field.attributes:
        raise unsupported(field, "the result of one segment")
    if field.first(*EXPRESSIONS) and feature in {"transformedValue", "decision"}:
        rule, kind = expression(field, names)
        wanted = kind_of(field.get("dataType")) if field.get("dataType") else kind
        if TEXT in {wanted, kind} and wanted != kind:
            raise unsupported(field, "a text made of a number")
        return (lambda _, scope: rule(scope)), wanted
    if feature in {"predictedValue", "predictedDisplayValue", "transformedValue"}:
        return (lambda result, _: result.value), shape.kind
    if feature == "probability":
        return _probability(field, shape), NUMBER
    if feature in {"affinity", "entityAffinity", "clusterAffinity"}:
        return _affinity(field, shape), NUMBER
    if feature in {"entityId", "clusterId"} and shape.entities:
        codes = np.array([names.texts.number(entity) for entity in shape.entities])
        return _entity(codes, int(field.number("rank", 1.0)) - 1), TEXT
    if feature == "reasonCode":
        rank = int(field.number("rank", 1.0)) - 1
        return (lambda result, scope: scope.call.encode(_ranked(result, rank))), TEXT
    raise unsupported(field, f"the feature {feature!r}")


def _entity(codes: Floats, rank: int) -> Give:
    def give(result: Result, scope: Scope) -> Floats:
        found = result.entity if result.ranked is None else result.ranked[:, rank]
        return scope.full(np.nan) if found is None else codes[found]

    return give


def _ranked(result: Result, rank: int) -> list[str | None]:
    return [codes[rank] if rank < len(codes) else None for codes in result.reasons or ()]


def _probability(field: Element, shape: Shape) -> Give:
    if "value" not in field.attributes:
        return lambda result, scope: scope.full(np.nan) if result.scores is None else result.scores.max(axis=1)
    label = field.must("value")
    if label not in shape.classes:
        raise CorruptModel(f"{field}: {label!r} is not among the model's classes: {', '.join(shape.classes)}")
    at = shape.classes.index(label)
    return lambda result, scope: scope.full(np.nan) if result.scores is None else result.scores[:, at]


def _affinity(field: Element, shape: Shape) -> Give:
    value = field.get("value")
    if value and value not in shape.entities:
        raise CorruptModel(f"{field}: there is no entity {value!r}")
    at = shape.entities.index(value) if value else None

    def give(result: Result, scope: Scope) -> Floats:
        if result.affinities is None or result.entity is None:
            return scope.full(np.nan)
        return result.affinities[:, at] if at is not None else result.affinities[np.arange(scope.rows), result.entity]

    return give
