"""The built-in functions of PMML on columns: NaN in, NaN out, but for those that ask about missing values.

Source: dmg.org, PMML 4.4, "Built-in functions".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from servable.runtimes.pmml.values import BOOLEAN, NUMBER, TEXT, Call, Floats

Columns = Sequence[Floats]


def _known(result: Any, *columns: Floats) -> Floats:
    """The result, missing where an argument is."""
    out = np.asarray(result, np.float64)
    gone = np.isnan(columns[0])
    for column in columns[1:]:
        gone = gone | np.isnan(column)
    return np.where(gone, np.nan, out)


def _over(reduce: Callable[..., Any]) -> Callable[[Columns], Floats]:
    """A function of all the arguments that are there; missing where none is."""

    def apply(columns: Columns) -> Floats:
        stacked = np.stack(columns)
        empty = np.isnan(stacked).all(axis=0)
        stacked[:, empty] = 0.0
        return np.where(empty, np.nan, reduce(stacked, axis=0))

    return apply


def both(columns: Columns) -> Floats:
    """AND with unknowns: one false is false."""
    stacked = np.stack(columns)
    return np.where((stacked == 0).any(axis=0), 0.0, np.where(np.isnan(stacked).any(axis=0), np.nan, 1.0))


def either(columns: Columns) -> Floats:
    """OR with unknowns: one true is true."""
    stacked = np.stack(columns)
    return np.where((stacked == 1).any(axis=0), 1.0, np.where(np.isnan(stacked).any(axis=0), np.nan, 0.0))


def _chosen(columns: Columns) -> Floats:
    otherwise = columns[2] if len(columns) > 2 else np.full_like(columns[0], np.nan)
    return np.where(np.isnan(columns[0]), np.nan, np.where(columns[0] == 1, columns[1], otherwise))


def _among(columns: Columns) -> Floats:
    return _known(np.any([columns[0] == other for other in columns[1:]], axis=0), columns[0])


def _normal(z: Floats) -> Floats:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z.tolist()])


def _half_away(x: Floats) -> Floats:
    return np.floor(x + 0.5)


NUMERIC: Final[dict[str, tuple[Callable[[Columns], Any], str]]] = {
    "+": (lambda c: c[0] + c[1] if len(c) > 1 else c[0], NUMBER),
    "-": (lambda c: c[0] - c[1] if len(c) > 1 else -c[0], NUMBER),
    "*": (lambda c: c[0] * c[1], NUMBER),
    "/": (lambda c: c[0] / c[1], NUMBER),
    "min": (_over(np.nanmin), NUMBER),
    "max": (_over(np.nanmax), NUMBER),
    "sum": (_over(np.nansum), NUMBER),
    "avg": (_over(np.nanmean), NUMBER),
    "median": (_over(np.nanmedian), NUMBER),
    "product": (_over(np.nanprod), NUMBER),
    "modulo": (lambda c: np.mod(c[0], c[1]), NUMBER),
    "x-modulo": (lambda c: np.mod(c[0], c[1]), NUMBER),
    "log10": (lambda c: np.log10(c[0]), NUMBER),
    "ln": (lambda c: np.log(c[0]), NUMBER),
    "ln1p": (lambda c: np.log1p(c[0]), NUMBER),
    "sqrt": (lambda c: np.sqrt(c[0]), NUMBER),
    "abs": (lambda c: np.abs(c[0]), NUMBER),
    "exp": (lambda c: np.exp(c[0]), NUMBER),
    "expm1": (lambda c: np.expm1(c[0]), NUMBER),
    "pow": (lambda c: np.power(c[0], c[1]), NUMBER),
    "hypot": (lambda c: np.hypot(c[0], c[1]), NUMBER),
    "threshold": (lambda c: _known(c[0] > c[1], c[0], c[1]), NUMBER),
    "floor": (lambda c: np.floor(c[0]), NUMBER),
    "ceil": (lambda c: np.ceil(c[0]), NUMBER),
    "round": (lambda c: _half_away(c[0]), NUMBER),
    "rint": (lambda c: np.rint(c[0]), NUMBER),
    "sin": (lambda c: np.sin(c[0]), NUMBER),
    "cos": (lambda c: np.cos(c[0]), NUMBER),
    "tan": (lambda c: np.tan(c[0]), NUMBER),
    "asin": (lambda c: np.arcsin(c[0]), NUMBER),
    "acos": (lambda c: np.arccos(c[0]), NUMBER),
    "atan": (lambda c: np.arctan(c[0]), NUMBER),
    "atan2": (lambda c: np.arctan2(c[0], c[1]), NUMBER),
    "sinh": (lambda c: np.sinh(c[0]), NUMBER),
    "cosh": (lambda c: np.cosh(c[0]), NUMBER),
    "tanh": (lambda c: np.tanh(c[0]), NUMBER),
    "stdNormalCDF": (lambda c: _normal(c[0]), NUMBER),
    "normalCDF": (lambda c: _normal((c[0] - c[1]) / c[2]), NUMBER),
    "isMissing": (lambda c: np.isnan(c[0]), BOOLEAN),
    "isNotMissing": (lambda c: ~np.isnan(c[0]), BOOLEAN),
    "isValid": (lambda c: ~np.isnan(c[0]), BOOLEAN),
    "isNotValid": (lambda c: np.isnan(c[0]), BOOLEAN),
    "equal": (lambda c: _known(c[0] == c[1], c[0], c[1]), BOOLEAN),
    "notEqual": (lambda c: _known(c[0] != c[1], c[0], c[1]), BOOLEAN),
    "lessThan": (lambda c: _known(c[0] < c[1], c[0], c[1]), BOOLEAN),
    "lessOrEqual": (lambda c: _known(c[0] <= c[1], c[0], c[1]), BOOLEAN),
    "greaterThan": (lambda c: _known(c[0] > c[1], c[0], c[1]), BOOLEAN),
    "greaterOrEqual": (lambda c: _known(c[0] >= c[1], c[0], c[1]), BOOLEAN),
    "and": (both, BOOLEAN),
    "or": (either, BOOLEAN),
    "not": (lambda c: 1.0 - c[0], BOOLEAN),
    "isIn": (_among, BOOLEAN),
    "isNotIn": (lambda c: 1.0 - _among(c), BOOLEAN),
    "if": (_chosen, ""),
}
"""Function to what it does and the kind it gives; an empty kind is that of its second argument."""

ORDERING: Final = frozenset({"lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual"})
"""Functions that need numbers: the numbers of texts are in no order."""


def _substring(text: str, start: str, length: str) -> str:
    first = int(float(start)) - 1
    return text[first : first + int(float(length))]


_TEXTUAL: Final[dict[str, Callable[..., str]]] = {
    "uppercase": str.upper,
    "lowercase": str.lower,
    "trimBlanks": str.strip,
    "substring": _substring,
    "concat": lambda *parts: "".join(parts),
}
_MEASURES: Final[dict[str, tuple[Callable[..., float], str]]] = {
    "stringLength": (lambda text: float(len(text)), NUMBER),
}
TEXTUAL: Final = {**dict.fromkeys(_TEXTUAL, TEXT), **{name: kind for name, (_, kind) in _MEASURES.items()}}
"""Functions of texts, and the kinds they give. None of patterns: one can run for ever on a client's text."""


def textual(name: str, call: Call, columns: Columns, kinds: Sequence[str]) -> Floats:
    """Apply a function of texts, row by row; numbers among its arguments are written out."""
    parts = [_written(call, column, kind) for column, kind in zip(columns, kinds, strict=True)]
    rows = [None if None in row else row for row in zip(*parts, strict=True)]
    if name in _TEXTUAL:
        function = _TEXTUAL[name]
        return call.encode(None if row is None else function(*row) for row in rows)
    measure = _MEASURES[name][0]
    return np.array([np.nan if row is None else measure(*row) for row in rows])


def _written(call: Call, column: Floats, kind: str) -> list[str | None]:
    if kind == TEXT:
        return call.decode(column)
    if kind == BOOLEAN:
        return [None if math.isnan(value) else ("true" if value else "false") for value in column.tolist()]
    return [
        None if math.isnan(value) else (str(int(value)) if value.is_integer() else repr(value))
        for value in column.tolist()
    ]
