"""Values while a batch is evaluated: a column is a float64 array, NaN is missing, a text is its number in a dictionary.

So predicates, tables and trees work on numbers alone. The dictionary of a document holds its own texts; those of a
request that it does not know are numbered past them, for the time of that request.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array
from servable.runtimes.pmml.document import Element, number, truth

TEXT: Final = "text"
NUMBER: Final = "number"
BOOLEAN: Final = "boolean"

Floats = np.ndarray[Any, np.dtype[np.float64]]
Evaluate = Callable[["Scope"], Floats]
"""From a scope to a column of its rows."""


class Texts:
    """A document's texts and their numbers."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] = {}

    def number(self, text: str) -> float:
        """The text's number; a new one gets the next."""
        return self.numbers.setdefault(text, float(len(self.numbers)))


class Call:
    """One evaluation: how many rows, their texts, and which of them are invalid. `numbers` are the inputs that are no
    texts, as they came: [inputs, rows], in the order of `order`.
    """

    def __init__(self, texts: Texts, rows: int, order: tuple[str, ...], numbers: Floats) -> None:
        self.rows = rows
        self.order = order
        self.numbers = numbers
        self.invalid: Array | None = None
        self._known = texts.numbers
        self._more: dict[str, float] = {}

    def encode(self, values: Iterable[object]) -> Floats:
        """Texts as numbers."""
        return np.array([self._number(value) for value in values], np.float64)

    def decode(self, column: Floats) -> list[str | None]:
        """Numbers as texts; None where missing."""
        names = [*self._known, *self._more]
        return [None if math.isnan(value) else names[int(value)] for value in column.tolist()]

    def refuse(self, bad: Array) -> None:
        """Mark rows as invalid: their results will be missing."""
        if bad.any():
            self.invalid = bad if self.invalid is None else self.invalid | bad

    def _number(self, value: object) -> float:
        if value is None:
            return np.nan
        text = value if isinstance(value, str) else str(value)
        found = self._known.get(text)
        if found is None:
            found = self._more.setdefault(text, float(len(self._known) + len(self._more)))
        return found


class Scope:
    """The columns that a part of a document can see: its own, those it derives, and its surroundings'."""

    __slots__ = ("call", "columns", "derived", "outer")

    def __init__(
        self, call: Call, columns: dict[str, Floats], derived: dict[str, Evaluate], outer: Scope | None
    ) -> None:
        self.call = call
        self.columns = columns
        self.derived = derived
        self.outer = outer

    @property
    def rows(self) -> int:
        return self.call.rows

    def get(self, name: str) -> Floats:
        """A column; derived once."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.columns.get(name)
            if found is not None:
                return found
            rule = scope.derived.get(name)
            if rule is not None:
                found = scope.columns[name] = rule(scope)
                return found
            scope = scope.outer
        raise LookupError(f"the field {name!r} is used, and no <MiningSchema> takes it in")

    @property
    def untouched(self) -> bool:
        """Whether all that can be seen from here is inputs as they came: nothing treats, derives or adds a column."""
        return self.outer is None and not self.derived

    def full(self, value: float) -> Floats:
        """A column of one value."""
        return np.full(self.rows, value)


class Names:
    """What a part of a document can name, and of which kind it is, while it is translated."""

    def __init__(self, texts: Texts, outer: Names | None = None) -> None:
        self.texts = texts
        self.outer = outer
        self.kinds: dict[str, str] = {}
        self.singles: set[str] = set()
        """Fields of single precision: what they are compared with is rounded as they are."""
        self.derived: dict[str, Evaluate] = {}
        self.functions: dict[str, Element] = outer.functions if outer else {}

    def kind(self, name: str) -> str | None:
        """The kind of a field; None where there is no such field."""
        scope: Names | None = self
        while scope is not None:
            if name in scope.kinds:
                return scope.kinds[name]
            scope = scope.outer
        return None

    def limit(self, text: str, name: str, where: Element) -> float:
        """A value that the field `name` is compared with, rounded to single precision if the field is."""
        value = self.literal(text, self.kind(name) or NUMBER, where)
        scope: Names | None = self
        while scope is not None:
            if name in scope.kinds:
                return float(np.float32(value)) if name in scope.singles else value
            scope = scope.outer
        return value

    def literal(self, text: str, kind: str, where: Element) -> float:
        """A value as the document writes it, as columns hold it."""
        if kind == TEXT:
            return self.texts.number(text)
        if kind == BOOLEAN:
            return float(truth(text))
        return number(text, where, "a value")


def kind_of(data_type: str) -> str:
    """The kind of a PMML data type."""
    if data_type in {"string", "date", "time", "dateTime"}:
        return TEXT
    return BOOLEAN if data_type == "boolean" else NUMBER


def cast(column: Floats, data_type: str) -> Floats:
    """What holding a number in a PMML data type makes of it."""
    if data_type == "float":
        return column.astype(np.float32).astype(np.float64)
    if data_type == "integer":
        return np.trunc(column)
    return column
