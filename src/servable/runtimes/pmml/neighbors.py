"""<NearestNeighborModel>: the stored instances nearest to a row decide."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.errors import CorruptModel
from servable.runtimes.pmml.distance import Measure
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.expressions import field, table
from servable.runtimes.pmml.fields import target
from servable.runtimes.pmml.result import Result, Shape, elected
from servable.runtimes.pmml.values import Floats, Names, Scope


def neighbor_model(model: Element, names: Names, shape: Shape) -> tuple[Callable[[Scope], Result], Shape]:
    """The k neighbours by distance, the first of equals; their targets are averaged or put to the vote."""
    inputs = list(model.need("KNNInputs").all("KNNInput"))
    measure = Measure(model, inputs)
    if measure.similarity:
        raise unsupported(model, "neighbours by similarity")
    columns, known = _instances(model)
    rules, kinds = zip(*(field(each.must("field"), names, each) for each in inputs), strict=True)
    for each in inputs:
        if each.must("field") not in columns:
            raise unsupported(each, "instances that are to be transformed first")
    points = np.array([
        [names.literal(row[columns[each.must("field")]], kind, each) for each, kind in zip(inputs, kinds, strict=True)]
        for row in known
    ])  # fmt: skip
    name = target(model)
    if name is None or name not in columns:
        raise unsupported(model, "neighbours without a target")
    answers = np.array([names.literal(row[columns[name]], shape.kind, model) for row in known])
    count, small = int(model.number("numberOfNeighbors")), model.number("threshold", 0.001)
    if not 0 < count <= len(known):
        raise CorruptModel(f"{model}: {count} neighbours of {len(known)} instances")
    method = model.get("continuousScoringMethod", "average") if shape.function == "regression" else model.get(
        "categoricalScoringMethod", "majorityVote"
    )  # fmt: skip
    weighted = method.startswith("weighted")

    own = model.get("instanceIdVariable")
    entities = tuple(row.get(columns[own], "") if own in columns else str(at) for at, row in enumerate(known, 1))
    shape = msgspec.structs.replace(shape, entities=entities)

    def near(scope: Scope) -> tuple[Array, Floats, Floats, Array]:
        rows = np.stack([rule(scope) for rule in rules], axis=1)
        apart = measure(rows, points)
        order = np.argsort(apart, axis=1, kind="stable")[:, :count]
        found = np.take_along_axis(apart, order, axis=1)
        weights = 1 / (found + small) if weighted else np.ones_like(found)
        return order, answers[order], weights, np.isnan(rows).all(axis=1)

    def number(scope: Scope) -> Result:
        order, found, weights, empty = near(scope)
        value = np.median(found, axis=1) if method == "median" else (found * weights).sum(axis=1) / weights.sum(axis=1)
        return Result(np.where(empty, np.nan, value), ranked=order)

    def label(scope: Scope) -> Result:
        order, found, weights, empty = near(scope)
        votes = np.stack([(weights * (found == code)).sum(axis=1) for code in shape.codes], axis=1)
        votes[empty] = np.nan
        result = elected(shape, votes / weights.sum(axis=1, keepdims=True))
        result.ranked = order
        return result

    return (number if shape.function == "regression" else label), shape


def _instances(model: Element) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The column of each field, and the rows."""
    stored = model.need("TrainingInstances")
    columns = {
        each.must("field"): each.get("column", each.must("field")).rpartition(":")[2]
        for each in stored.need("InstanceFields").all("InstanceField")
    }
    rows = table(stored)
    for row in rows:
        if missing := [column for column in columns.values() if column not in row]:
            raise unsupported(stored, f"an instance without {missing[0]!r}")
    return columns, rows
