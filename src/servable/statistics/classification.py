"""How often a classifier is right, and how well its probabilities fit: each measure as a function of means.

`truth` and `chosen` are class codes from 0, one a row; `probabilities` has a column a class.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from servable.statistics.means import Array, Means, ratio

SMALLEST: Final = 1e-15
"""A probability below counts as this: no log-loss is infinite."""


def accuracy(truth: Array, chosen: Array) -> Means:
    """The share of rows that are right.

    >>> accuracy(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])).estimate
    0.75
    """
    hits = (truth == chosen).astype(float)
    return Means(hits[:, None], _first, (float(hits.sum()), len(hits)))


def balanced_accuracy(truth: Array, chosen: Array, classes: int) -> Means:
    """The mean over classes of their recall: a rare class counts as much as a common one.

    Source: K. H. Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.

    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), 2).estimate
    0.5
    """
    are = _indicators(truth, classes)
    found = are * (truth == chosen)[:, None]
    return Means(np.concatenate([found, are], axis=1), lambda means: _mean(ratio(*_halves(means))))


def precision(truth: Array, chosen: Array, positive: int) -> Means:
    """Of the rows that were given this class, the share that are of it.

    >>> precision(np.array([1, 0, 1]), np.array([1, 1, 0]), 1).estimate
    0.5
    """
    given = chosen == positive
    return _share(given & (truth == positive), given)


def recall(truth: Array, chosen: Array, positive: int) -> Means:
    """Of the rows of this class, the share that were found.

    >>> recall(np.array([1, 0, 1]), np.array([1, 1, 0]), 1).estimate
    0.5
    """
    are = truth == positive
    return _share(are & (chosen == positive), are)


def specificity(truth: Array, chosen: Array, positive: int) -> Means:
    """Of the rows that are not of this class, the share that were not taken for it.

    >>> specificity(np.array([1, 0, 0]), np.array([1, 1, 0]), 1).estimate
    0.5
    """
    are_not = truth != positive
    return _share(are_not & (chosen != positive), are_not)


def f1(truth: Array, chosen: Array, positive: int) -> Means:
    """The harmonic mean of precision and recall of a class.

    >>> round(f1(np.array([1, 1, 1, 0]), np.array([1, 1, 0, 1]), 1).estimate, 4)
    0.6667
    """
    return f1_macro((truth == positive).astype(int), (chosen == positive).astype(int), 2, skip=1)


def f1_macro(truth: Array, chosen: Array, classes: int, skip: int = 0) -> Means:
    """The mean F1 of all classes, from code `skip` on.

    >>> round(f1_macro(np.array([1, 1, 1, 0]), np.array([1, 1, 0, 1]), 2).estimate, 4)
    0.3333
    """
    are, given = _indicators(truth, classes)[:, skip:], _indicators(chosen, classes)[:, skip:]
    return Means(np.concatenate([2 * are * given, are + given], axis=1), lambda means: _mean(ratio(*_halves(means))))


def log_loss(truth: Array, probabilities: Array) -> Means:
    """The mean of minus the log of the probability that the true class was given.

    >>> round(log_loss(np.array([0, 1]), np.array([[0.9, 0.1], [0.5, 0.5]])).estimate, 4)
    0.3993
    """
    given = probabilities[np.arange(len(truth)), truth]
    return Means(-np.log(np.clip(given, SMALLEST, 1.0))[:, None].astype(float), _first)


def brier(truth: Array, probabilities: Array) -> Means:
    """The mean square of what the probabilities lack, summed over classes; halved for two, as it is usually told.

    G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950).

    >>> round(brier(np.array([0, 1]), np.array([[0.9, 0.1], [0.5, 0.5]])).estimate, 4)
    0.13
    """
    classes = probabilities.shape[1]
    squares = ((probabilities - _indicators(truth, classes)) ** 2).sum(axis=1)
    return Means(squares[:, None] / (2 if classes == 2 else 1), _first)


def _first(means: Array) -> Array:
    return np.asarray(means[..., 0])


def _mean(values: Array) -> Array:
    """Over classes; those that no row has are left out."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))


def _halves(means: Array) -> tuple[Array, Array]:
    half = means.shape[-1] // 2
    return means[..., :half], means[..., half:]


def _share(these: Array, of: Array) -> Means:
    rows = np.column_stack([these, of]).astype(float)
    return Means(rows, lambda means: ratio(means[..., 0], means[..., 1]), (float(these.sum()), float(of.sum())))


def _indicators(codes: Array, classes: int) -> Array:
    """A column a class: 1.0 where the row is of it."""
    return np.asarray(np.asarray(codes)[:, None] == np.arange(classes), float)
