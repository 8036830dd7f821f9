"""Conflicts: values that a rule cannot mean, and rules of one column that no value can please."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from servable.domain.field import Field
from servable.domain.rule import Rule
from servable.rules.bounds import bounds_in
from servable.rules.view import Place

_KEEPS_OUT: Final = frozenset({"refuse", "clip"})
"""Actions after which no value is left where the rule fired."""


def check_allowed(rule: Rule, field: Field) -> None:
    """Raise ValueError for allowed values that the column cannot hold, or a `to` that is none of them."""
    text = field.datatype == "BYTES"
    if field.datatype == "BOOL":
        raise ValueError(f'column {rule.column!r} is BOOL: write an expression, when = "{rule.column}"')
    for value in rule.allowed:
        if isinstance(value, bool) or isinstance(value, str) != text:
            raise ValueError(
                f"'allowed' holds {value!r}: expected {'texts' if text else 'whole numbers'} ({field.datatype})"
            )
        if not isinstance(value, str) and field.dtype.kind in "iu" and not _holds(field, value):
            raise ValueError(f"'allowed' holds {value}, which {field.datatype} cannot hold")
        if field.categories and str(value) not in map(str, field.categories):
            near = difflib.get_close_matches(str(value), [str(category) for category in field.categories], 1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"'allowed' holds {value!r}, which the model does not take{hint}")
    if rule.to is not None and rule.to not in rule.allowed:
        raise ValueError(f"'to' is {rule.to!r}, which is not among 'allowed'")


def _holds(field: Field, value: int) -> bool:
    limits = np.iinfo(field.dtype)
    return bool(limits.min <= value <= limits.max)


def check_put(rule: Rule, field: Field) -> None:
    """Raise ValueError for a `to` that the column cannot hold, or that is itself out of bounds."""
    if rule.to is None:
        return
    if (field.datatype == "BYTES") != isinstance(rule.to, str):
        raise ValueError(f"'to' is {rule.to!r}: expected {'a text' if field.datatype == 'BYTES' else 'a number'}")
    if isinstance(rule.to, str):
        if field.categories and rule.to not in map(str, field.categories):
            raise ValueError(f"'to' is {rule.to!r}, which the model does not take")
        return
    if field.dtype.kind in "iu" and not float(rule.to).is_integer():
        raise ValueError(f"'to' is {rule.to:g}: expected a whole number ({field.datatype})")
    for low, high in ((rule.low, rule.high), (field.low, field.high), bounds_in(field.dtype, None, None)):
        if (low is not None and rule.to < low) or (high is not None and rule.to > high):
            raise ValueError(f"'to' is {rule.to:g}, which is out of bounds itself")


def conflicts(rules: Sequence[Rule], places: Mapping[str, Place]) -> Iterator[str]:
    """What cannot be together, a sentence each."""
    for name, count in Counter(rule.name for rule in rules).items():
        if count > 1:
            yield f"rule {name!r}: there are {count} rules of this name"
    for column in dict.fromkeys(rule.column for rule in rules if rule.column):
        own = [rule for rule in rules if rule.column == column and rule.action in _KEEPS_OUT]
        yield from _of_column(column, own, places[column].field)


def _of_column(column: str, rules: Sequence[Rule], field: Field) -> Iterator[str]:
    """Of the rules that keep values out: whether any value is left, and each replacement pleases the others."""
    low, high = field.low, field.high
    lowest = highest = "the model's own limit"
    for rule in (rule for rule in rules if rule.judges == "bounds"):
        if rule.low is not None and (low is None or rule.low > low):
            low, lowest = rule.low, f"rule {rule.name!r}"
        if rule.high is not None and (high is None or rule.high < high):
            high, highest = rule.high, f"rule {rule.name!r}"
    if low is not None and high is not None and low > high:
        yield f"contradictory bounds of {column!r}: {lowest} asks for at least {low:g}, {highest} for at most {high:g}"
        return
    if field.dtype.kind in "iu" and np.greater(*bounds_in(field.dtype, low, high)):
        yield f"contradictory bounds of {column!r}: no whole number is at least {low:g} and at most {high:g}"
        return
    for rule in rules:
        for other in rules:
            if rule.to is not None and not _passes(rule.to, other):
                yield f"rule {rule.name!r}: 'to' is {rule.to!r}, which rule {other.name!r} does not let pass"


def _passes(value: float | str, rule: Rule) -> bool:
    """Whether a rule of bounds or categories leaves a value alone."""
    if rule.allowed:
        return value in rule.allowed
    if isinstance(value, str):
        return True
    return (rule.low is None or value >= rule.low) and (rule.high is None or value <= rule.high)
