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
_RELATIVE: Final = 1e-3
_ABSOLUTE: Final = 1e-4

Predict = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class Probe(msgspec.Struct, frozen=True):
    """What running the model showed. `shapes` are those of the outputs for 3 rows, or for one call where not
    batched.
    """

    independent: bool
    shapes: dict[str, tuple[int, ...]]


def probe(predict: Predict, inputs: tuple[Field, ...], *, batched: bool) -> Probe | None:
    """Run on random values. None: it could not be run on them, so nothing is known."""
    for size in _SIZES:
        random = np.random.default_rng(0)
        values = {field.name: _random(field, size, random, rows=3 if batched else None) for field in inputs}
        try:
            together = predict(values)
            parts = [predict(part) for part in _parts(values)] if batched else []
        except Exception:  # noqa: BLE001, S112 - a wall: an error of the library means that these values do not suit
            continue
        shapes = {name: np.shape(array) for name, array in together.items()}
        return Probe(
            not batched or all(_equal(together, part, at) for at, part in zip((0, 1), parts, strict=True)), shapes
        )
    return None


def _parts(values: Mapping[str, Array]) -> list[dict[str, Array]]:
    """The first row alone, and the other two."""
    return [{name: array[rows] for name, array in values.items()} for rows in (slice(0, 1), slice(1, 3))]


def _equal(together: Mapping[str, Array], part: Mapping[str, Array], at: int) -> bool:
    count = 1 if at == 0 else 2
    for name, whole in together.items():
        alone = part[name]
        if whole.ndim == 0 or len(whole) != 3 or len(alone) != count or whole.shape[1:] != alone.shape[1:]:
            return False
        expected = whole[at : at + count]
        if whole.dtype.kind == "f":
            if not np.allclose(expected, alone, _RELATIVE, _ABSOLUTE, equal_nan=True):
                return False
        elif not np.array_equal(expected, alone):
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
