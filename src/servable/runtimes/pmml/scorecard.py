"""<Scorecard>: points for each characteristic, and the reasons for losing them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from servable.errors import CorruptModel
from servable.runtimes.pmml.document import Element
from servable.runtimes.pmml.expressions import expression
from servable.runtimes.pmml.predicates import evaluator, predicate
from servable.runtimes.pmml.result import Result, Shape
from servable.runtimes.pmml.values import Evaluate, Floats, Names, Scope


class Attribute(msgspec.Struct, frozen=True):
    """When it holds, what it is worth, and the reason it gives."""

    when: Evaluate
    points: Evaluate
    reason: str


class Characteristic(msgspec.Struct, frozen=True):
    """Its attributes in order; the first that holds counts."""

    attributes: tuple[Attribute, ...]
    baseline: float


def scorecard(model: Element, names: Names, shape: Shape) -> tuple[Callable[[Scope], Result], Shape]:
    """The sum of the points, and reason codes from the largest loss on."""
    explained = model.flag("useReasonCodes", default=True)
    below = model.get("reasonCodeAlgorithm", "pointsBelow") == "pointsBelow"
    baseline = model.number("baselineScore", 0.0)
    parts = [_characteristic(each, names, baseline) for each in model.need("Characteristics").all("Characteristic")]
    initial = model.number("initialScore", 0.0)

    def score(scope: Scope) -> Result:
        total = scope.full(initial)
        lost, reasons = [], []
        for part in parts:
            points, which = _points(part, scope)
            total = total + points
            lost.append((part.baseline - points) if below else (points - part.baseline))
            reasons.append([part.attributes[at].reason for at in which])
        return Result(total, reasons=_ranked(np.array(lost), reasons) if explained else None)

    return score, shape


def _characteristic(element: Element, names: Names, baseline: float) -> Characteristic:
    attributes = []
    for each in element.all("Attribute"):
        complex_score = each.first("ComplexPartialScore")
        if complex_score is not None:
            points = expression(complex_score, names)[0]
        else:
            points = _fixed(each.number("partialScore"))
        reason = each.get("reasonCode") or element.get("reasonCode")
        attributes.append(Attribute(evaluator(predicate(each, names)), points, reason))
    if not attributes:
        raise CorruptModel(f"{element} has no <Attribute>")
    return Characteristic(tuple(attributes), element.number("baselineScore", baseline))


def _fixed(value: float) -> Evaluate:
    return lambda scope: scope.full(value)


def _points(part: Characteristic, scope: Scope) -> tuple[Floats, list[int]]:
    """The points of the first attribute that holds, and which one it was; missing where none does."""
    points, which = scope.full(np.nan), np.zeros(scope.rows, int)
    open_rows = np.ones(scope.rows, bool)
    for at, attribute in enumerate(part.attributes):
        held = open_rows & (attribute.when(scope) == 1)
        if held.any():
            points[held] = attribute.points(scope)[held]
            which[held] = at
        open_rows &= ~held
    return points, which.tolist()


def _ranked(lost: Floats, reasons: list[list[str]]) -> list[list[str]]:
    """Reasons by row, from the largest loss; a characteristic's losses are added up where a reason comes twice."""
    found = []
    for row in range(lost.shape[1]):
        totals: dict[str, float] = {}
        for at, codes in enumerate(reasons):
            if codes[row]:
                totals[codes[row]] = totals.get(codes[row], 0.0) + lost[at, row]
        found.append(sorted(totals, key=lambda code: -totals[code]))
    return found
