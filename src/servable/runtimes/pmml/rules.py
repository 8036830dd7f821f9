"""<RuleSetModel>: the first rule that fires, or the weights of all that do."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element
from servable.runtimes.pmml.predicates import Junction, Predicate, evaluator, predicate
from servable.runtimes.pmml.result import Result, Shape, elected
from servable.runtimes.pmml.values import Evaluate, Names, Scope


class Rule(msgspec.Struct, frozen=True):
    """When it fires, which class it is for (its place), how much it weighs, and how sure it is."""

    when: Evaluate
    place: int
    weight: float
    confidence: float


def rule_set(model: Element, names: Names, shape: Shape) -> tuple[Callable[[Scope], Result], Shape]:
    """The method is the first <RuleSelectionMethod>; a row that no rule fires for gets the default score."""
    part = model.need("RuleSet")
    method = part.need("RuleSelectionMethod").must("criterion")
    default = part.get("defaultScore")
    if default and default not in shape.classes:
        shape = Shape(
            shape.function, shape.kind, (*shape.classes, default),
            (*shape.codes, names.literal(default, shape.kind, part)),
        )  # fmt: skip
    rules = [_rule(each, when, shape) for each, when in _flat(part, (), names)]
    fallback = shape.classes.index(default) if default else None
    sure = part.number("defaultConfidence", 1.0)

    def first(scope: Scope) -> Result:
        scores = np.full((scope.rows, len(shape.classes)), np.nan)
        open_rows = np.ones(scope.rows, bool)
        for rule in rules:
            fired = open_rows & (rule.when(scope) == 1)
            scores[fired] = 0.0
            scores[fired, rule.place] = rule.confidence
            open_rows &= ~fired
        return _finish(scores, open_rows)

    def weighed(scope: Scope) -> Result:
        scores = np.zeros((scope.rows, len(shape.classes)))
        fired_any = np.zeros(scope.rows, bool)
        for rule in rules:
            fired = rule.when(scope) == 1
            fired_any |= fired
            if method == "weightedSum":
                scores[fired, rule.place] += rule.weight
            else:
                scores[fired, rule.place] = np.maximum(scores[fired, rule.place], rule.weight)
        return _finish(scores, ~fired_any)

    def _finish(scores: np.ndarray, rest: np.ndarray) -> Result:
        scores[rest] = np.nan
        if fallback is not None:
            scores[rest] = 0.0
            scores[rest, fallback] = sure
        return elected(shape, scores)

    if method not in {"firstHit", "weightedSum", "weightedMax"}:
        raise CorruptModel(f"{part}: there is no criterion {method!r}")
    return (first if method == "firstHit" else weighed), Shape(
        shape.function, shape.kind, shape.classes, shape.codes, scored=False
    )


def _flat(parent: Element, outer: tuple[Predicate, ...], names: Names) -> list[tuple[Element, Predicate]]:
    """The simple rules, each with its own condition and those of the rules it stands in."""
    found: list[tuple[Element, Predicate]] = []
    for each in parent.all("SimpleRule", "CompoundRule"):
        conditions = (*outer, predicate(each, names))
        if each.tag == "CompoundRule":
            found.extend(_flat(each, conditions, names))
        else:
            found.append((each, conditions[0] if len(conditions) == 1 else Junction("and", conditions)))
    return found


def _rule(element: Element, when: Predicate, shape: Shape) -> Rule:
    label = element.must("score")
    if label not in shape.classes:
        raise CorruptModel(f"{element}: {label!r} is not one of the target's values: {', '.join(shape.classes)}")
    return Rule(
        evaluator(when), shape.classes.index(label), element.number("weight", 1.0), element.number("confidence", 1.0)
    )
