"""View: the columns of a batch and of its answer by name, cut out when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.columns import column_names
from servable.domain.field import Field
from servable.domain.rule import OUTPUT
from servable.domain.signature import Signature


class Place(NamedTuple):
    """Where a column lies: its field, its position along the last axis, and how many lie there. Of an output or not."""

    field: Field
    at: int
    width: int
    answered: bool = False


def places_of(signature: Signature) -> dict[str, Place]:
    """Every column of the inputs by its name, and of the outputs by `output.NAME` or `output.NAME[feature]`."""
    found: dict[str, Place] = {}
    for field in signature.inputs:
        names = column_names(field)
        found |= {name: Place(field, at, len(names)) for at, name in enumerate(names)}
    for field in signature.outputs:
        names = column_names(field)
        for at, name in enumerate(names):
            own = f"{field.name}[{name}]" if field.features and name in field.features else name
            found[f"{OUTPUT}{own}"] = Place(field, at, len(names), answered=True)
    return found


class View(Mapping[str, Array]):
    """One value a row for each column. Views into the arrays, never copies."""

    def __init__(self, places: Mapping[str, Place], batch: Batch, answered: Batch | None = None) -> None:
        self.places = places
        self.batch = batch
        self.answered = batch if answered is None else answered
        self.rows = batch.rows

    def __getitem__(self, name: str) -> Array:
        place = self.places[name]
        return self.array(place).reshape(self.rows, place.width)[:, place.at]

    def array(self, place: Place) -> Array:
        """The whole array that a column lies in."""
        return (self.answered if place.answered else self.batch).columns[place.field.name]

    def row(self, at: int) -> View:
        """One row of it."""
        answered = None if self.answered is self.batch else self.answered.slice(at, at + 1)
        return View(self.places, self.batch.slice(at, at + 1), answered)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def shown(value: object) -> str:
    """A value as messages tell it.

    >>> shown(12.0), shown("north"), shown(float("nan"))
    ('12', "'north'", 'nothing')
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "nothing"
    if isinstance(value, (str, bytes)):
        return f"{value!r:.80}"
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)
