"""<MiningModel>: many models whose answers are put together, chained, or chosen from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.errors import CorruptModel
from servable.runtimes.pmml import trees
from servable.runtimes.pmml.document import Element, unsupported
from servable.runtimes.pmml.fields import active
from servable.runtimes.pmml.model import MODELS, Built, build
from servable.runtimes.pmml.predicates import evaluator, predicate
from servable.runtimes.pmml.result import Result, Shape, elected
from servable.runtimes.pmml.values import Evaluate, Floats, Names, Scope

Run = Callable[[Scope], Result]


class Segment(msgspec.Struct, frozen=True):
    """A model, when it counts (None: always), and how much."""

    built: Built
    when: Evaluate | None
    weight: float


def mining_model(model: Element, names: Names, shape: Shape) -> tuple[Run, Shape]:
    """The <Segmentation> of a model."""
    part = model.need("Segmentation")
    method = part.must("multipleModelMethod")
    segments = list(part.all("Segment"))
    if not segments:
        raise CorruptModel(f"{part} has no <Segment>")
    if method == "modelChain":
        return _chain(segments, names)
    if "missingThreshold" in part.attributes and part.number("missingThreshold") != 1:
        raise unsupported(part, "a missingThreshold")
    if method in trees.JOINS and all(map(_plain_tree, segments)):
        models = [(segment.need("TreeModel"), names) for segment in segments]
        if any(segment.need("TreeModel").get("functionName") != shape.function for segment in segments):
            raise unsupported(part, "trees that predict something else than their model")
        return trees.joined(models, [segment.number("weight", 1.0) for segment in segments], method, shape), shape
    parts = [_segment(segment, names, shape) for segment in segments]
    if shape.function != "regression" and any(each.built.shape.classes != shape.classes for each in parts):
        shape = parts[0].built.shape
        if any(each.built.shape.classes != shape.classes for each in parts):
            raise unsupported(part, "models with different classes")
    if method == "selectFirst":
        return (lambda scope: _selected(scope, parts, shape)), shape
    if method not in trees.JOINS:
        raise unsupported(part, f"the method {method!r}")
    treatment = part.get("missingPredictionTreatment", "continue")
    join = _numbers if shape.function == "regression" else _labels
    return (lambda scope: join(scope, parts, method, treatment, shape)), shape


def _plain_tree(segment: Element) -> bool:
    """Whether a segment is a tree that always counts, and sees the fields as its surroundings do."""
    tree = segment.first("TreeModel")
    if tree is None or segment.first("True") is None or tree.first("LocalTransformations", "Targets"):
        return False
    special = {"missingValueReplacement", "outliers", "missingValueTreatment"}
    return not any(special & field.attributes.keys() for field in active(tree))


def _segment(segment: Element, names: Names, shape: Shape) -> Segment:
    wanted = predicate(segment, names)
    return Segment(
        build(segment.need(*MODELS), names, None, shape),
        None if wanted is True else evaluator(wanted),
        segment.number("weight", 1.0),
    )


def _chain(segments: Sequence[Element], names: Names) -> tuple[Run, Shape]:
    """One model after the other; each sees what those before it put out."""
    seen = Names(names.texts, names)
    parts = []
    for segment in segments:
        if predicate(segment, seen) is not True:
            raise unsupported(segment, "a condition inside a chain")
        built = build(segment.need(*MODELS), seen, None, None)
        seen.kinds.update({output.name: output.kind for output in built.outputs})
        parts.append(built)

    def run(scope: Scope) -> Result:
        inner = Scope(scope.call, {}, {}, scope)
        result = None
        for built in parts:
            result, columns = built.answer(inner)
            inner.columns.update(columns)
            result.more.update(columns)
        return result  # type: ignore[return-value] # a chain has segments

    last = parts[-1]
    more = tuple((output.name, output.kind) for output in last.outputs if output.final)
    return run, msgspec.structs.replace(last.shape, more=(*last.shape.more, *more))


def _selected(scope: Scope, parts: Sequence[Segment], shape: Shape) -> Result:
    value = scope.full(np.nan)
    scores = np.full((scope.rows, len(shape.classes)), np.nan) if shape.classes else None
    open_rows = np.ones(scope.rows, bool)
    for part in parts:
        chosen = open_rows if part.when is None else open_rows & (part.when(scope) == 1)
        if chosen.any():
            found = part.built.run(scope)
            value[chosen] = found.value[chosen]
            if scores is not None and found.scores is not None:
                scores[chosen] = found.scores[chosen]
        open_rows = open_rows & ~chosen
    return Result(value, scores)


def _counting(scope: Scope, parts: Sequence[Segment]) -> Array:
    """Which segments count for which rows, [rows, segments]."""
    always = np.ones(scope.rows, bool)
    return np.stack([always if part.when is None else part.when(scope) == 1 for part in parts], axis=1)


def _numbers(scope: Scope, parts: Sequence[Segment], method: str, treatment: str, _: Shape) -> Result:
    counts = _counting(scope, parts)
    found = np.stack([part.built.run(scope).value for part in parts], axis=1)
    if treatment == "skipSegment":
        counts &= ~np.isnan(found)
    weights = counts * np.array([part.weight if method.startswith("weighted") else 1.0 for part in parts])
    with np.errstate(all="ignore"):
        if method in {"median", "max"}:
            reduce = np.median if method == "median" else np.max
            rows = [reduce(row[there]) if there.any() else np.nan for row, there in zip(found, counts, strict=True)]
            value = np.array(rows, np.float64)
        else:
            value = np.where(counts, found * weights, 0.0).sum(axis=1)
            if method.lower().endswith("average"):
                value = value / weights.sum(axis=1)
    return Result(np.where(counts.any(axis=1), value, np.nan))


def _labels(scope: Scope, parts: Sequence[Segment], method: str, treatment: str, shape: Shape) -> Result:
    counts = _counting(scope, parts)
    results = [part.built.run(scope) for part in parts]
    voting = method.lower().endswith("vote")
    tables: list[Floats] = []
    for result in results:
        votes = (result.value[:, None] == np.array(shape.codes)[None, :]).astype(np.float64)
        tables.append(votes if voting or result.scores is None else result.scores)
    found = np.stack(tables, axis=1)
    if treatment == "skipSegment":
        counts &= ~np.isnan(np.stack([result.value for result in results], axis=1))
    weights = counts * np.array([part.weight if method.startswith("weighted") else 1.0 for part in parts])
    if method == "max":
        return elected(shape, np.where(counts[:, :, None], found, -np.inf).max(axis=1))
    with np.errstate(all="ignore"):
        sums = np.where(counts[:, :, None], found * weights[:, :, None], 0.0).sum(axis=1)
        return elected(shape, sums / weights.sum(axis=1, keepdims=True))
