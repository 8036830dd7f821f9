"""Means: a statistic that is a function of the means of what each row contributes.

Nearly every measure of a model is one: accuracy is the mean of hits, F1 a ratio of two means, R² one of three. Said so,
all of them share one bootstrap, one jackknife and one paired comparison, and none goes through the rows twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Means(NamedTuple):
    """`rows` (n × k) is what each row contributes; `value` makes the statistic of the k means, along the last axis.

    `proportion`, where the statistic is one, is its successes and trials.
    """

    rows: Array
    value: Callable[[Array], Array]
    proportion: tuple[float, float] | None = None

    @property
    def estimate(self) -> float:
        """The statistic of all rows; NaN where there is none.

        >>> Means(np.array([[1.0], [0.0], [1.0], [1.0]]), lambda means: means[..., 0]).estimate
        0.75
        """
        return float(self.value(self.rows.mean(axis=0))) if len(self.rows) else float("nan")

    def of(self, chosen: Array) -> Means:
        """The same statistic of some of the rows, by a mask or by index."""
        return Means(self.rows[chosen], self.value)


def difference(first: Means, second: Means) -> Means:
    """First less second, on the same rows: what is common to both falls out of its error.

    >>> hits = np.array([[1.0], [1.0], [0.0], [1.0]]), np.array([[1.0], [0.0], [0.0], [1.0]])
    >>> difference(*(Means(each, lambda means: means[..., 0]) for each in hits)).estimate
    0.25
    """
    split = first.rows.shape[1]
    return Means(
        np.concatenate([first.rows, second.rows], axis=1),
        lambda means: first.value(means[..., :split]) - second.value(means[..., split:]),
    )


def ratio(above: Array, below: Array) -> Array:
    """Above by below; NaN, without a word, where there is nothing below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.true_divide(above, below))
