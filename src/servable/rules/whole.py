"""Whole: the rows of a batch, who answers each of them, and their answers as they come in, put together again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.rule import Fired

DECIDING: Final = ("refuse", "answer", "fallback")
"""Actions after which the model is not asked, the strongest first."""


class Answered(NamedTuple):
    """The answer to some of the rows, by the model's own outputs. `by` names the fallback that gave it, if one did."""

    answer: Batch
    by: str = ""


class Whole:
    """Rows by number; what is not decided is the model's."""

    def __init__(self, rows: int) -> None:
        self._by = np.full(rows, -1)
        self._deciders: list[Fired] = []
        self._open = 0
        self._parts: list[tuple[Array, Mapping[str, Array]]] = []
        self._versions: dict[str, str] = {}
        self._waiting: dict[str, Array] = {}

    def decide(self, fired: Sequence[Fired]) -> None:
        """Let rules decide over the rows where they fired: the strongest action, then the first rule. What was decided
        before stands.
        """
        for action in DECIDING:
            for each in fired:
                if each.rule.action == action:
                    free = each.rows[self._by[each.rows] < 0]
                    self._by[free] = len(self._deciders)
                    self._deciders.append(each)

    def left(self) -> Array:
        """The rows that the model answers."""
        return np.flatnonzero(self._by < 0)

    def refused(self) -> Array:
        """The rows that nobody answers."""
        return self._decided("refuse")

    def handed_over(self, batch: Batch) -> dict[str, Batch]:
        """The rows for each fallback that was decided since this was asked the last time."""
        asks: dict[str, Array] = {}
        for number, each in enumerate(self._deciders[self._open :], self._open):
            rows = np.flatnonzero(self._by == number)
            if each.rule.action == "fallback" and len(rows):
                asks[each.rule.fallback] = np.union1d(asks.get(each.rule.fallback, rows), rows)
        self._open = len(self._deciders)
        self._waiting = asks
        return {ref: take(batch, rows) for ref, rows in asks.items()}

    def take_in(self, answers: Mapping[str, Answered]) -> None:
        """The answers of the fallbacks to what was handed over."""
        for ref, rows in self._waiting.items():
            answer, self._versions[ref] = answers[ref]
            self.put(rows, answer.columns)

    def put(self, rows: Array, columns: Mapping[str, Array]) -> None:
        """The answer to some rows, in order."""
        if len(rows) or not len(self._by):
            self._parts.append((rows, columns))

    def put_fixed(self, values: Mapping[str, Mapping[str, Array]]) -> None:
        """The fixed answers, by the rule's name, where rules decided so."""
        for number, each in enumerate(self._deciders):
            if each.rule.action == "answer":
                rows = np.flatnonzero(self._by == number)
                row = values[each.rule.name]
                self.put(rows, {name: np.broadcast_to(value, (len(rows), *value.shape)) for name, value in row.items()})

    def columns(self, fields: Iterable[Field]) -> dict[str, Array]:
        """Every output for all rows; where a part does not have it, nothing: NaN, None, false, or 0."""
        return {field.name: self._column(field) for field in fields}

    def versions(self, fired: Iterable[Fired]) -> tuple[Fired, ...]:
        """The same with the version of each fallback that answered."""
        return tuple(each._replace(to=self._versions.get(each.rule.fallback, "")) for each in fired)

    def acted(self, fired: Iterable[Fired]) -> Iterator[Fired]:
        """Each rule with the rows where it had its way: another may have decided over some of those where it fired."""
        for each in fired:
            action = each.rule.action
            if action in DECIDING:
                number = next(at for at, decider in enumerate(self._deciders) if decider.rule is each.rule)
                rows = each.rows[self._by[each.rows] == number]
            elif action == "clip":
                rows = each.rows[self._by[each.rows] < 0]
            else:
                rows = each.rows
            if len(rows):
                yield each._replace(rows=rows)

    def _column(self, field: Field) -> Array:
        parts = [(rows, columns[field.name]) for rows, columns in self._parts if field.name in columns]
        if len(parts) == 1 and len(parts[0][0]) == len(self._by):
            return parts[0][1]
        shape = parts[0][1].shape[1:] if parts else tuple(max(size, 1) for size in field.shape[1:])
        dtype = parts[0][1].dtype if parts else field.dtype
        nothing = np.nan if dtype.kind == "f" else None if dtype.kind == "O" else 0
        whole = np.full((len(self._by), *shape), nothing, dtype)
        for rows, values in parts:
            whole[rows] = values
        return whole

    def _decided(self, action: str) -> Array:
        numbers = [number for number, each in enumerate(self._deciders) if each.rule.action == action]
        return np.flatnonzero(np.isin(self._by, numbers))


def take(batch: Batch, rows: Array) -> Batch:
    """Some rows of a batch, in order."""
    if len(rows) == batch.rows:
        return batch
    return Batch({name: array[rows] for name, array in batch.columns.items()}, len(rows), batch.parameters)
