"""Computes an Expression over columns: one call of numpy for each operation, however many rows there are.

Numbers are 64-bit floats, and NaN where there is no value; texts are objects, and None where there is none; a truth is
two masks, where it holds and where it does not: where neither is set, it is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final, NamedTuple

import numpy as np

from servable.domain.batch import Array
from servable.domain.expression import Column, Constant, Expression


class Truth(NamedTuple):
    """Where a condition is true, and where it is false."""

    true: Any
    false: Any


Value = Any
"""A Truth, an array of float64 or of objects, or one number or text for all rows."""


def fires(expression: Expression, columns: Mapping[str, Array], rows: int) -> Array:
    """The rows, as a mask, where a condition is true.

    >>> from servable.rules.parse import parse
    >>> fires(parse("age < 18 or age is missing"), {"age": np.array([12.0, 40.0, np.nan])}, 3).tolist()
    [True, False, True]
    """
    with np.errstate(all="ignore"):
        found = evaluate(expression, columns)
    return np.array(np.broadcast_to(found.true, rows))


def evaluate(expression: Expression, columns: Mapping[str, Array]) -> Value:
    """The value of an expression whose kinds were checked (`rules/kinds.py`)."""
    if isinstance(expression, Column):
        array = columns[expression.name]
        if array.dtype == np.bool_:
            return Truth(array, ~array)
        return array if array.dtype == object else array.astype(np.float64)
    if isinstance(expression, Constant):
        value = expression.value
        return Truth(np.bool_(value), np.bool_(not value)) if isinstance(value, bool) else value
    return _DOES[expression.name](*[evaluate(operand, columns) for operand in expression.operands])


_NONE: Final = np.frompyfunc(lambda value: value is None, 1, 1)


def missing(value: Value) -> Any:
    """Where there is none."""
    if isinstance(value, Truth):
        return ~(value.true | value.false)
    if isinstance(value, str):
        return np.False_
    return np.asarray(_NONE(value), bool) if _is_text(value) else np.isnan(value)


def _is_text(value: Value) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind == "O")


def _either(*parts: Truth) -> Truth:
    return Truth(reduce(np.logical_or, [p.true for p in parts]), reduce(np.logical_and, [p.false for p in parts]))


def _both(*parts: Truth) -> Truth:
    return Truth(reduce(np.logical_and, [p.true for p in parts]), reduce(np.logical_or, [p.false for p in parts]))


def _denied(part: Truth) -> Truth:
    return Truth(part.false, part.true)


def _equal(left: Value, right: Value) -> Truth:
    if isinstance(left, Truth):
        return Truth(
            left.true & right.true | left.false & right.false, left.true & right.false | left.false & right.true
        )
    same = np.asarray(left == right, bool)
    known = ~(missing(left) | missing(right))
    return Truth(same & known, ~same & known)


def _among(value: Value, *others: Value) -> Truth:
    return _either(*[_equal(value, other) for other in others])


def _is_missing(value: Value) -> Truth:
    absent = missing(value)
    return Truth(absent, ~absent)


def _coalesce(first: Value, *others: Value) -> Value:
    for other in others:
        absent = missing(first)
        if isinstance(first, Truth):
            first = Truth(first.true | absent & other.true, first.false | absent & other.false)
        else:
            first = np.where(absent, other, first)
    return first


def _power(base: Value, exponent: Value) -> Value:
    """A missing value stays missing, also as 1 ** missing and missing ** 0."""
    return np.where(np.isnan(base) | np.isnan(exponent), np.nan, np.power(base, exponent))


def _length(value: Value) -> Value:
    return _each(lambda text: float(len(text)), value, np.nan).astype(np.float64)


def _lower(value: Value) -> Value:
    return _each(lambda text: text.lower(), value, None)


def _each(function: Callable[[Any], Any], value: Value, absent: Any) -> Value:
    """A function of texts, on each."""
    of_one = np.frompyfunc(lambda text: absent if text is None else function(text), 1, 1)
    return np.asarray(of_one(value), object)


def _comparison(holds: Any, fails: Any) -> Callable[[Value, Value], Truth]:
    """Neither holds for NaN."""
    return lambda left, right: Truth(holds(left, right), fails(left, right))


def _over(function: Any) -> Callable[..., Value]:
    return lambda *values: reduce(function, values)


_DOES: Final[dict[str, Callable[..., Value]]] = {
    "or": _either,
    "and": _both,
    "not": _denied,
    "==": _equal,
    "!=": lambda left, right: _denied(_equal(left, right)),
    "<": _comparison(np.less, np.greater_equal),
    "<=": _comparison(np.less_equal, np.greater),
    ">": _comparison(np.greater, np.less_equal),
    ">=": _comparison(np.greater_equal, np.less),
    "in": _among,
    "is missing": _is_missing,
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": _power,
    "negative": np.negative,
    "abs": np.abs,
    "ceil": np.ceil,
    "coalesce": _coalesce,
    "exp": np.exp,
    "floor": np.floor,
    "length": _length,
    "log": np.log,
    "log10": np.log10,
    "lower": _lower,
    "max": _over(np.maximum),
    "min": _over(np.minimum),
    "sqrt": np.sqrt,
}
