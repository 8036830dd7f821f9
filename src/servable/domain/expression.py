"""Expression: a condition or a number made of columns, as a tree. Data only: `rules/parse.py` reads one from text,
`rules/evaluate.py` computes it over arrays, and whatever else runs rules (JavaScript in a browser) is written from it.

Three values are true, false and unknown: a comparison with a missing value is unknown, and `not`, `and`, `or` follow
SQL (Kleene's logic). A rule fires where its condition is true.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

Kind = Literal["number", "text", "truth"]


class Constant(msgspec.Struct, frozen=True, tag="constant"):
    """A number, a text, or true and false."""

    value: float | str | bool


class Column(msgspec.Struct, frozen=True, tag="column"):
    """A value of the row, by the column's name (see `domain/columns.py`); an output's begins with `output.`."""

    name: str


class Operation(msgspec.Struct, frozen=True, tag="operation"):
    """One of OPERATIONS, and what it is done to, in order."""

    name: str
    operands: tuple[Expression, ...]


Expression = Constant | Column | Operation


class Takes(msgspec.Struct, frozen=True):
    """What an operation takes (`any`: numbers, texts or truths, all of one kind) and gives, and between which two
    numbers of operands.
    """

    operand: Kind | Literal["any"]
    gives: Kind | Literal["any"]
    least: int = 1
    most: int = 1


OPERATIONS: Final[dict[str, Takes]] = {
    "or": Takes("truth", "truth", 2, 1000),
    "and": Takes("truth", "truth", 2, 1000),
    "not": Takes("truth", "truth"),
    "==": Takes("any", "truth", 2, 2),
    "!=": Takes("any", "truth", 2, 2),
    "<": Takes("number", "truth", 2, 2),
    "<=": Takes("number", "truth", 2, 2),
    ">": Takes("number", "truth", 2, 2),
    ">=": Takes("number", "truth", 2, 2),
    "in": Takes("any", "truth", 2, 1000),
    "is missing": Takes("any", "truth"),
    "+": Takes("number", "number", 2, 2),
    "-": Takes("number", "number", 2, 2),
    "*": Takes("number", "number", 2, 2),
    "/": Takes("number", "number", 2, 2),
    "**": Takes("number", "number", 2, 2),
    "negative": Takes("number", "number"),
    "abs": Takes("number", "number"),
    "ceil": Takes("number", "number"),
    "coalesce": Takes("any", "any", 2, 100),
    "exp": Takes("number", "number"),
    "floor": Takes("number", "number"),
    "length": Takes("text", "number"),
    "log": Takes("number", "number"),
    "log10": Takes("number", "number"),
    "lower": Takes("text", "text"),
    "max": Takes("number", "number", 2, 100),
    "min": Takes("number", "number", 2, 100),
    "sqrt": Takes("number", "number"),
}
"""Every operation. The first operand of `in` is looked for among the others. What is named by a word and written with
brackets behind it is a function (FUNCTIONS)."""

_WORDS: Final = frozenset({"or", "and", "not", "in", "negative"})
FUNCTIONS: Final = tuple(name for name in OPERATIONS if name.isalnum() and name not in _WORDS)


def columns_in(expression: Expression) -> Iterator[str]:
    """The names of all columns in it, each as often as it occurs."""
    if isinstance(expression, Column):
        yield expression.name
    elif isinstance(expression, Operation):
        for operand in expression.operands:
            yield from columns_in(operand)
