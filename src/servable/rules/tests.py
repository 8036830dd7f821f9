"""Tests: a Rule made ready for its columns, one class for each kind. Each gives the rows where its rule fires, and
says for one of them what was expected and what came.

`compile.py` makes them, after it has found the rule to be right; `guard.py` asks them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

import numpy as np

from servable.domain.batch import Array
from servable.domain.columns import numbers
from servable.domain.expression import Expression, columns_in
from servable.domain.field import Field
from servable.domain.rule import Rule
from servable.rules.bounds import bounds_in
from servable.rules.distance import Distance
from servable.rules.evaluate import fires, missing
from servable.rules.view import View, shown

MOST_SHOWN: Final = 20


class Test(Protocol):
    """A rule over some columns. `answered`: it looks at the model's answer, so it waits for it."""

    rule: Rule
    answered: bool
    expected: str

    def mask(self, view: View) -> Array:
        """The rows where it fires."""
        ...

    def got(self, view: View, row: int) -> str:
        """What came in a row where it fired."""
        ...


class _OfColumn:
    """A test of one column."""

    expected = ""

    def __init__(self, rule: Rule, field: Field, *, answered: bool) -> None:
        self.rule = rule
        self.field = field
        self.answered = answered

    def got(self, view: View, row: int) -> str:
        return shown(view[self.rule.column][row])


class BoundsTest(_OfColumn):
    """Values below `low` or above `high`; a missing one is neither."""

    def __init__(self, rule: Rule, field: Field, *, answered: bool) -> None:
        super().__init__(rule, field, answered=answered)
        self.low, self.high = bounds_in(field.dtype, rule.low, rule.high)
        ends = [
            f"at least {rule.low:g}" if rule.low is not None else "",
            f"at most {rule.high:g}" if rule.high is not None else "",
        ]
        self.expected = f"{rule.column!r} {' and '.join(filter(None, ends))}"

    def mask(self, view: View) -> Array:
        values = view[self.rule.column]
        return np.asarray((values < self.low) | (values > self.high))

    def put(self, values: Array) -> Array:
        """The values with those outside at the nearest bound, or at `to`."""
        if self.rule.to is None:
            return np.asarray(np.clip(values, self.low, self.high))
        return np.where((values < self.low) | (values > self.high), self.field.dtype.type(self.rule.to), values)


class CategoriesTest(_OfColumn):
    """Values that are not among `allowed`; a missing one is left to `present`."""

    def __init__(self, rule: Rule, field: Field, *, answered: bool) -> None:
        super().__init__(rule, field, answered=answered)
        some = ", ".join(map(str, rule.allowed[:MOST_SHOWN])) + (", …" if len(rule.allowed) > MOST_SHOWN else "")
        self.expected = f"{rule.column!r} to be one of {some}"
        self._texts = frozenset(map(str, rule.allowed))
        self._numbers = None if field.datatype == "BYTES" else np.asarray(rule.allowed).astype(field.dtype)

    def mask(self, view: View) -> Array:
        return self._strange(view[self.rule.column])

    def put(self, values: Array) -> Array:
        """The values with strange ones replaced by `to`."""
        return np.where(self._strange(values), np.asarray(self.rule.to, self.field.dtype), values)

    def _strange(self, values: Array) -> Array:
        if self._numbers is not None:
            return np.asarray(np.isin(values, self._numbers, invert=True) & ~missing(values))
        texts = self._texts
        return np.fromiter((value is not None and value not in texts for value in values), bool, len(values))


class MissingTest(_OfColumn):
    """Missing values: NaN, or no text."""

    def __init__(self, rule: Rule, field: Field, *, answered: bool) -> None:
        super().__init__(rule, field, answered=answered)
        self.expected = f"a value in {rule.column!r}"

    def mask(self, view: View) -> Array:
        return np.asarray(missing(view[self.rule.column]))

    def put(self, values: Array) -> Array:
        """The values with `to` where there was none."""
        return np.where(missing(values), np.asarray(self.rule.to, self.field.dtype), values)


class ExpressionTest:
    """Rows where a condition is true."""

    def __init__(self, rule: Rule, expression: Expression, *, answered: bool) -> None:
        self.rule = rule
        self.answered = answered
        self.expected = f"no row where {rule.when}"
        self.expression = expression
        self._names = sorted(set(columns_in(expression)))

    def mask(self, view: View) -> Array:
        return fires(self.expression, view, view.rows)

    def got(self, view: View, row: int) -> str:
        return ", ".join(f"{name} = {shown(view[name][row])}" for name in self._names)


class DistanceTest:
    """Rows farther from the training data than the share `within` of it."""

    answered = False

    def __init__(self, rule: Rule, distance: Distance, fields: dict[str, Field]) -> None:
        self.rule = rule
        self.limit = distance.limit(rule.within)
        self.expected = f"a {rule.distance} distance from the training data of at most {self.limit:.4g}"
        self._distance = distance
        self._fields = fields

    def mask(self, view: View) -> Array:
        return np.asarray(self.distances(view) > self.limit)

    def got(self, view: View, row: int) -> str:
        return f"{self.distances(view.row(row))[0]:.4g}"

    def distances(self, view: View) -> Array:
        return self._distance.of({name: numbers_or_texts(view[name], field) for name, field in self._fields.items()})


class IntervalTest:
    """Rows whose prediction interval is wider than `widest`, or whose set holds no class or more than `most`."""

    answered = True

    def __init__(self, rule: Rule, column: str) -> None:
        """`column` is how the columns of the interval, or the set, begin: `output.price_interval`."""
        self.rule = rule
        self.column = column
        if rule.most is None:
            self.expected = f"a {rule.coverage:.0%} interval at most {rule.widest or np.inf:g} wide"
        else:
            self.expected = f"a {rule.coverage:.0%} set of 1 to {rule.most} classes"

    def mask(self, view: View) -> Array:
        if self.rule.widest is not None:
            return np.asarray(self._size(view) > self.rule.widest)
        if self.rule.most is None:
            return np.zeros(view.rows, bool)
        size = self._size(view)
        return np.asarray((size > self.rule.most) | (size == 0))

    def got(self, view: View, row: int) -> str:
        return f"{self._size(view)[row]:g}"

    def _size(self, view: View) -> Array:
        if self.rule.most is None:
            return np.asarray(view[f"{self.column}[high]"] - view[f"{self.column}[low]"], np.float64)
        names = [name for name in view if name.startswith(f"{self.column}[")]
        return np.asarray(np.sum([view[name] for name in names], axis=0))


def numbers_or_texts(values: Array, field: Field) -> Array:
    """A column as distances look at it: text as it is, all else (dates as seconds) as numbers."""
    return values if field.datatype == "BYTES" and field.content != "date" else numbers(values, field)


def clipped(view: View, tests: Iterable[Test]) -> dict[str, Array]:
    """The arrays that change, with every value put in place that a test has one for."""
    changed: dict[str, Array] = {}
    for test in tests:
        if isinstance(test, BoundsTest | CategoriesTest | MissingTest):
            place = view.places[test.rule.column]
            array = changed.setdefault(place.field.name, np.array(view.array(place), order="C"))
            matrix = array.reshape(view.rows, place.width)  # of a copy in one piece: a view
            matrix[:, place.at] = test.put(matrix[:, place.at])
    return changed
