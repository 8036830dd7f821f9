"""Distance: how far a row lies from the training data, by Mahalanobis or by an isolation forest.

Both are fitted to one half of the sample; how far the other half lies out gives the limits. Rows that are like those of
training then exceed the limit `within` at a rate of at most 1 - within, whatever their distribution. Source: Laxhammar
and Falkman, "Conformal prediction for distribution-independent anomaly detection", 2011.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.rules.encoding import Encoding
from servable.rules.forest import Forest, Trees, grow

FEWEST: Final = 20
"""Rows of a sample that a distance can be fitted to, at the least."""
MOST_COLUMNS: Final = 512
RIDGE: Final = 1e-3
"""Added to the variances, which are 1: columns that repeat one another would leave nothing to invert."""


class FittedDistance(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What packing learned. `held_out` are the distances of rows that were not fitted, ascending; one of `whitening`
    (which turns encoded rows into uncorrelated ones of variance 1) and `trees` is there.
    """

    encoding: Encoding
    held_out: list[float]
    whitening: list[list[float]] = []
    trees: Trees | None = None


def fit_distance(columns: Mapping[str, Array], kind: str) -> FittedDistance:
    """Fit to the columns of a sample (float64 with NaN, or texts with None). Raises ValueError, MissingExtra."""
    rows = len(next(iter(columns.values()), ()))
    if rows < FEWEST:
        raise ValueError(f"expected a sample of at least {FEWEST} rows, got {rows}")
    if len(columns) > MOST_COLUMNS:
        raise ValueError(f"expected at most {MOST_COLUMNS} columns, got {len(columns)}: name some in 'columns'")
    fitted = {name: values[::2] for name, values in columns.items()}
    encoding = Encoding.of(fitted)
    if kind == "isolation":
        found = FittedDistance(encoding, [], trees=grow(encoding(fitted)))
    else:
        encoded = encoding(fitted)
        covariance = np.atleast_2d(np.cov(encoded, rowvar=False)) + RIDGE * np.eye(len(columns))
        whitening = np.linalg.inv(np.linalg.cholesky(covariance))
        found = FittedDistance(encoding, [], whitening.tolist())
    held_out = Distance(found).of({name: values[1::2] for name, values in columns.items()})
    return msgspec.structs.replace(found, held_out=np.sort(held_out).tolist())


class Distance:
    """A fitted distance, ready to measure."""

    def __init__(self, fitted: FittedDistance) -> None:
        self.names = tuple(fitted.encoding.columns)
        self._encode = fitted.encoding
        self._held_out = fitted.held_out
        self._whitening: Any = np.array(fitted.whitening).T
        self._forest = None if fitted.trees is None else Forest(fitted.trees)

    def of(self, columns: Mapping[str, Array]) -> Array:
        """The distance of each row; of a forest its score, between 0 and 1."""
        encoded = self._encode(columns)
        if self._forest is not None:
            return self._forest.scores(encoded)
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.sqrt(np.square(encoded @ self._whitening).sum(axis=1))
        return np.asarray(np.nan_to_num(found, nan=np.inf))

    def limit(self, within: float) -> float:
        """The distance that at least this share of rows like those of training keeps. Raises ValueError where the
        sample was too small to tell.
        """
        rows = len(self._held_out)
        rank = math.ceil(round((rows + 1) * within, 9))
        if rank > rows:
            raise ValueError(
                f"'within' {within:g} takes a sample of {2 * math.ceil(round(within / (1 - within), 9))} rows, "
                f"the model was packed with {2 * rows}: give more, or a 'within' of at most {rows / (rows + 1):.3f}"
            )
        return self._held_out[rank - 1]
