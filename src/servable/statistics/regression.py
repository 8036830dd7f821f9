"""How far a regressor's numbers are from the truth: each measure as a function of means."""

from __future__ import annotations

import numpy as np

from servable.statistics.means import Array, Means, ratio


def mae(truth: Array, told: Array) -> Means:
    """The mean absolute error.

    >>> mae(np.array([1.0, 2.0]), np.array([1.0, 4.0])).estimate
    1.0
    """
    return Means(np.abs(told - truth)[:, None], lambda means: means[..., 0])


def rmse(truth: Array, told: Array) -> Means:
    """The root of the mean squared error.

    >>> round(rmse(np.array([1.0, 2.0]), np.array([1.0, 4.0])).estimate, 4)
    1.4142
    """
    return Means(((told - truth) ** 2)[:, None], lambda means: np.sqrt(means[..., 0]))


def bias(truth: Array, told: Array) -> Means:
    """The mean error: above 0 where it tells too much.

    >>> bias(np.array([1.0, 2.0]), np.array([1.0, 4.0])).estimate
    1.0
    """
    return Means((told - truth)[:, None], lambda means: means[..., 0])


def mape(truth: Array, told: Array) -> Means:
    """The mean of the absolute error as a share of the truth; rows whose truth is 0 are left out.

    >>> mape(np.array([1.0, 2.0, 0.0]), np.array([1.0, 4.0, 1.0])).estimate
    0.5
    """
    known = truth != 0
    shares = np.where(known, np.abs(told - truth) / np.where(known, np.abs(truth), 1.0), 0.0)
    return Means(np.column_stack([shares, known]).astype(float), lambda means: ratio(means[..., 0], means[..., 1]))


def r2(truth: Array, told: Array) -> Means:
    """The share of the truth's variance that is explained; below 0, its mean would have done better.

    >>> r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0])).estimate
    0.5
    """
    # Around the mean, so that large numbers lose no digits in the difference of squares.
    centred = truth - (truth.mean() if len(truth) else 0.0)
    rows = np.column_stack([(told - truth) ** 2, centred, centred**2])
    return Means(rows, lambda means: 1 - ratio(means[..., 0], means[..., 2] - means[..., 1] ** 2))
