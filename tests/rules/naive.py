"""Expressions computed the plain way, a row at a time in Python: what the evaluator must equal.

None is a missing value, and the truth of a condition that is neither true nor false.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from servable.domain.expression import Column, Constant, Expression


def value_of(expression: Expression, row: Mapping[str, Any]) -> Any:
    if isinstance(expression, Constant):
        return expression.value
    if isinstance(expression, Column):
        return row[expression.name]
    operands = [value_of(operand, row) for operand in expression.operands]
    if expression.name in OF_MISSING:
        return OF_MISSING[expression.name](operands)
    if any(operand is None for operand in operands):
        return None
    found = OF_KNOWN[expression.name](*operands)
    return None if isinstance(found, float) and math.isnan(found) else found


def _truth(operands: list[Any], decides: bool) -> bool | None:
    return decides if decides in operands else None if None in operands else not decides


def _among(operands: list[Any]) -> bool | None:
    value, *others = operands
    return _truth([None if None in {value, other} else value == other for other in others], decides=True)


def _divided(left: float, right: float) -> float:
    if right == 0:
        return math.nan if left == 0 else math.copysign(math.inf, left) * math.copysign(1, right)
    return left / right


OF_MISSING: dict[str, Callable[[list[Any]], Any]] = {
    "or": lambda operands: _truth(operands, decides=True),
    "and": lambda operands: _truth(operands, decides=False),
    "in": _among,
    "is missing": lambda operands: operands[0] is None,
    "coalesce": lambda operands: next((operand for operand in operands if operand is not None), None),
}
OF_KNOWN: dict[str, Callable[..., Any]] = {
    "not": operator.not_,
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _divided,
    "negative": operator.neg, "abs": abs, "min": min, "max": max,
    "floor": lambda value: value if math.isinf(value) else float(math.floor(value)),
    "ceil": lambda value: value if math.isinf(value) else float(math.ceil(value)),
    "sqrt": lambda value: math.nan if value < 0 else math.sqrt(value),
    "length": lambda text: float(len(text)),
    "lower": str.lower,
}  # fmt: skip
