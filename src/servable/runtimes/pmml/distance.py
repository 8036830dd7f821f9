"""<ComparisonMeasure>: distances and similarities of rows to centres or stored instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from servable.domain.batch import Array
from servable.runtimes.pmml.document import Element, numbers, unsupported
from servable.runtimes.pmml.values import Floats

DISTANCES: Final = ("euclidean", "squaredEuclidean", "chebychev", "cityBlock", "minkowski")
SIMILARITIES: Final = ("simpleMatching", "jaccard", "tanimoto", "binarySimilarity")
BLOCK: Final = 1 << 20


class Measure:
    """How far rows [rows, fields] are from points [points, fields]. Missing values take no part; the rest is scaled up.

    Source: dmg.org, PMML 4.4, "Clustering Models".
    """

    def __init__(self, model: Element, fields: Sequence[Element]) -> None:
        element = model.need("ComparisonMeasure")
        found = element.first(*DISTANCES, *SIMILARITIES)
        if found is None or found.tag == "binarySimilarity":
            raise unsupported(found or element)
        self.name = found.tag
        self.similarity = found.tag in SIMILARITIES
        self._power = found.number("p-parameter") if found.tag == "minkowski" else 2.0
        default = element.get("compareFunction", "absDiff")
        self._compare = [field.get("compareFunction", default) for field in fields]
        for field, compare in zip(fields, self._compare, strict=True):
            if compare not in {"absDiff", "delta", "equal", "gaussSim"}:
                raise unsupported(field, f"the comparison {compare!r}")
        self._scale = [field.number("similarityScale", 1.0) for field in fields]
        self._weights = np.array([field.number("fieldWeight", 1.0) for field in fields])
        adjust = model.first("MissingValueWeights")
        self._q = np.array(numbers(adjust.need("Array"))) if adjust else np.ones(len(fields))

    def __call__(self, rows: Floats, points: Floats) -> Floats:
        """[rows, points]."""
        size = max(1, BLOCK // max(1, points.size))
        parts = [self._block(rows[at : at + size], points) for at in range(0, len(rows), size)]
        return np.concatenate(parts) if parts else np.zeros((0, len(points)))

    def _block(self, rows: Floats, points: Floats) -> Floats:
        if self.similarity:
            return self._alike(rows == 1, points == 1)
        apart = np.empty((len(rows), len(points), rows.shape[1]))
        for at, compare in enumerate(self._compare):
            apart[:, :, at] = _compared(compare, rows[:, at, None], points[None, :, at], self._scale[at])
        there = ~np.isnan(rows)
        weights = self._weights
        with np.errstate(all="ignore"):
            adjust = (self._q.sum() / (there * self._q).sum(axis=1))[:, None]
        apart[np.broadcast_to(~there[:, None, :], apart.shape)] = 0.0
        if self.name == "euclidean":
            return np.asarray(np.sqrt((apart**2 * weights).sum(axis=2) * adjust))
        if self.name == "squaredEuclidean":
            return np.asarray((apart**2 * weights).sum(axis=2) * adjust)
        if self.name == "chebychev":
            return np.asarray((apart * weights).max(axis=2) * adjust)
        if self.name == "cityBlock":
            return np.asarray((apart * weights).sum(axis=2) * adjust)
        return np.asarray(((apart**self._power * weights).sum(axis=2) * adjust) ** (1 / self._power))

    def _alike(self, rows: Array, points: Array) -> Floats:
        one, other = rows[:, None, :], points[None, :, :]
        both, neither = (one & other).sum(axis=2), (~one & ~other).sum(axis=2)
        differ = (one != other).sum(axis=2)
        with np.errstate(all="ignore"):
            if self.name == "simpleMatching":
                return np.asarray((both + neither) / (both + neither + differ), np.float64)
            if self.name == "jaccard":
                return np.asarray(both / (both + differ), np.float64)
            return np.asarray((both + neither) / (both + neither + 2 * differ), np.float64)


def _compared(compare: str, x: Floats, y: Floats, scale: float) -> Floats:
    if compare == "absDiff":
        return np.asarray(np.abs(x - y))
    if compare == "gaussSim":
        return np.asarray(np.exp(-np.log(2) * (x - y) ** 2 / scale**2))
    return np.asarray(x == y if compare == "equal" else x != y, np.float64)
