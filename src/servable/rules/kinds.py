"""Checks an Expression against the columns there are: names, and numbers, texts and truths in their places."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import numpy as np

from servable.domain.datatypes import FLOATS, INTEGERS
from servable.domain.expression import OPERATIONS, Column, Constant, Expression, Kind, Operation
from servable.domain.field import Field
from servable.rules.parse import BadExpression

_COMPARES = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})


def condition(expression: Expression, fields: Mapping[str, Field]) -> Expression:
    """The expression if it is a condition over these columns (name to the field that holds it).

    A constant that is compared with a column of fewer bits is rounded as that column's values were: 0.1 is the number
    that a client who sends 0.1 for FP32 has sent. Raises BadExpression.
    """
    kind = kind_of(expression, fields)
    if kind != "truth":
        raise BadExpression(f"expected a condition, which is true or false, got a {kind}")
    return _rounded(expression, fields)


def kind_of(expression: Expression, fields: Mapping[str, Field]) -> Kind:
    """What it gives. Raises BadExpression for an unknown column, and for a kind out of place."""
    if isinstance(expression, Column):
        return _column(expression.name, fields)
    if isinstance(expression, Constant):
        return (
            "truth" if isinstance(expression.value, bool) else "text" if isinstance(expression.value, str) else "number"
        )
    takes = OPERATIONS[expression.name]
    kinds: list[Kind] = [kind_of(operand, fields) for operand in expression.operands]
    expected = kinds[0] if takes.operand == "any" else takes.operand
    for kind, operand in zip(kinds, expression.operands, strict=True):
        if kind != expected:
            of = f" ({operand.name})" if isinstance(operand, Column) else ""
            raise BadExpression(f"{expression.name!r} takes a {expected} here, got a {kind}{of}")
    return expected if takes.gives == "any" else takes.gives


def unknown(name: str, known: Iterable[str], what: str = "column") -> str:
    """The sentence for a column, or another thing, that is not there."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    some = ", ".join(map(repr, names[:20])) + (", …" if len(names) > 20 else "")
    return f"unknown {what} {name!r}: " + (f"did you mean {near[0]!r}?" if near else f"there are {some or 'none'}")


def _column(name: str, fields: Mapping[str, Field]) -> Kind:
    field = fields.get(name)
    if field is None:
        raise BadExpression(unknown(name, fields))
    if field.datatype in FLOATS | INTEGERS:
        return "number"
    return "truth" if field.datatype == "BOOL" else "text"


def _rounded(expression: Expression, fields: Mapping[str, Field]) -> Expression:
    if not isinstance(expression, Operation):
        return expression
    operands = tuple(_rounded(operand, fields) for operand in expression.operands)
    if expression.name in _COMPARES:
        column = next((each for each in operands if isinstance(each, Column)), None)
        if column is not None and fields[column.name].datatype in {"FP16", "FP32"}:
            operands = tuple(_as(each, fields[column.name]) for each in operands)
    return Operation(expression.name, operands)


def _as(operand: Expression, field: Field) -> Expression:
    if not isinstance(operand, Constant):
        return operand
    with np.errstate(over="ignore"):
        return Constant(float(np.asarray(operand.value, np.float64).astype(field.dtype)))
