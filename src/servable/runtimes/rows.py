"""Are the rows of a model independent? Asked of a model whose file does not say, by running it.

A first axis of any size may be rows, and it may be time, tokens or samples of sound: joining two callers' arrays
along it would then give both a wrong answer. So rows are predicted apart and together, and must come out equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.domain.datatypes import FLOATS
from servable.domain.field import Field

_SIZES: Final = (1, 16, 64)
"""Sizes tried for the other axes that may have any size: a convolution refuses a picture of one pixel."""
_NEIGHBOURS: Final = 1e-4
"""How far other neighbours may move an answer, relative to its size: they share nothing but the rounding."""
_ALONE: Final = 0.05
"""How far a row alone may be from the same among others: another number of rows can mean other kernels."""

Predict = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class Probe(msgspec.Struct, frozen=True):
    """What running the model showed. `shapes` are the outputs', for 3 rows, or for one call where not batched."""

    independent: bool
    shapes: dict[str, tuple[int, ...]]


def probe(predict: Predict, inputs: tuple[Field, ...], *, batched: bool) -> Probe | None:
    """Run on random values. None: it could not be run on them, so nothing is known."""
    for size in _SIZES:
        random = np.random.default_rng(0)
        values = {field.name: _random(field, size, random, rows=5 if batched else None) for field in inputs}
        try:
            if not batched:
                return Probe(independent=True, shapes=_shapes(predict(values)))
            one, other, alone = (predict(_rows(values, rows)) for rows in ([0, 1, 2], [3, 1, 4], [1]))
        except Exception:  # noqa: BLE001, S112 - a wall: an error of the library means that these values do not suit
            continue
        same = _is_row(one, other, 1, _NEIGHBOURS) and _is_row(one, alone, 0, _ALONE)
        return Probe(same, _shapes(one))
    return None


def _rows(values: Mapping[str, Array], rows: list[int]) -> dict[str, Array]:
    return {name: array[rows] for name, array in values.items()}


def _shapes(answer: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: np.shape(array) for name, array in answer.items()}


def _is_row(three: Mapping[str, Array], other: Mapping[str, Array], at: int, tolerance: float) -> bool:
    """Whether the middle one of three rows is row `at` of the other answer, in every output."""
    for name, whole in three.items():
        part = other[name]
        count = 3 if at else 1
        if whole.ndim == 0 or len(whole) != 3 or len(part) != count or whole.shape[1:] != part.shape[1:]:
            return False
        expected, found = whole[1], part[at]
        if whole.dtype.kind == "f":
            size = float(np.nanmax(np.abs(expected.astype(np.float64)), initial=0.0))
            if not np.allclose(expected, found, tolerance, tolerance * min(size, 1.0), equal_nan=True):
                return False
        elif at and not np.array_equal(expected, found):
            return False
    return True


def _random(field: Field, size: int, random: np.random.Generator, rows: int | None) -> Array:
    shape = tuple(size if length == -1 else length for length in field.shape)
    if rows is not None:
        shape = (rows, *shape[1:])
    if field.datatype == "BYTES":
        return np.full(shape, "text", object)
    if field.datatype in FLOATS:
        return np.asarray(random.standard_normal(shape), field.dtype)
    return np.asarray(random.integers(0, 2, shape), field.dtype)
