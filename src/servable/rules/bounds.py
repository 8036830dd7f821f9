"""Bounds: low and high of every bounded input, asked in one go. Nearly all batches cross none, and cost no more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.rule import Rule
from servable.rules.view import Place


def bounds_in(dtype: np.dtype[Any], low: float | None, high: float | None) -> tuple[Any, Any]:
    """Low and high as a dtype has them, its own limits for None.

    A float's bounds are rounded as its values were: 0.1 is within `high = 0.1`, also in 32 bits. Of whole numbers they
    are the outermost that lie within.
    """
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return (
                np.asarray(-np.inf if low is None else low).astype(dtype)[()],
                np.asarray(np.inf if high is None else high).astype(dtype)[()],
            )
    limits = np.iinfo(dtype)
    least = limits.min if low is None or low <= limits.min else math.ceil(min(low, limits.max))
    most = limits.max if high is None or high >= limits.max else math.floor(max(high, limits.min))
    return dtype.type(least), dtype.type(most)


class Bounds:
    """The bounds of many columns, fused: two comparisons for all columns of one dtype."""

    def __init__(self, rules: Iterable[Rule], places: Mapping[str, Place]) -> None:
        """`rules` are bounds on columns of the inputs; where several bound one column the tightest is asked."""
        edges: dict[str, tuple[Array, Array]] = {}
        fields: dict[str, Field] = {}
        for rule in rules:
            field, at, width, _ = places[rule.column]
            fields[field.name] = field
            if field.name not in edges:
                low, high = bounds_in(field.dtype, None, None)
                edges[field.name] = np.full(width, low), np.full(width, high)
            low, high = bounds_in(field.dtype, rule.low, rule.high)
            lows, highs = edges[field.name]
            lows[at], highs[at] = max(lows[at], low), min(highs[at], high)
        groups: dict[Any, list[str]] = {}
        for name, field in fields.items():
            groups.setdefault(field.dtype, []).append(name)
        self._groups = [
            (
                names,
                np.concatenate([edges[name][0] for name in names]),
                np.concatenate([edges[name][1] for name in names]),
            )
            for names in groups.values()
        ]

    def crossed(self, batch: Batch) -> bool:
        """Whether any value lies outside. A missing one does not."""
        columns = batch.columns
        for names, low, high in self._groups:
            if len(names) == 1:
                values = columns[names[0]]
            else:
                values = np.concatenate([columns[name].reshape(batch.rows, -1) for name in names], axis=1)
            if np.count_nonzero((values < low) | (values > high)):
                return True
        return False
