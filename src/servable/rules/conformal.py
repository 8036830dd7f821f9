"""Conformal: prediction intervals and sets with a promise of coverage, from rows that the model was not trained on.

Split conformal prediction: of rows like those of the calibration set at least the share `coverage` get an interval, or
a set, that holds their true outcome, whatever the model and the distribution. Intervals are as wide as the residuals of
calibration rows with a similar answer (Mondrian bins), so that they are wide where the model errs much; the promise
holds in each bin. Sets hold every class of at least a certain probability. Sources: Papadopoulos et al., ECML 2002;
Boström and Johansson, COPA 2020 (bins); Sadinle, Lei, Wasserman, JASA 2019 (sets).
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from servable.domain.batch import Array

MOST_BINS: Final = 10
ROWS_A_BIN: Final = 50


class FittedInterval(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What packing learned. `scores` are those of the calibration rows, ascending: for intervals the residuals of each
    bin of answers, cut at `edges`; for sets one list of 1 minus the true class's probability.
    """

    scores: list[list[float]]
    edges: list[float] = []


def fit_interval(answers: Array, outcomes: Array) -> FittedInterval:
    """From answers and true outcomes [rows], both numbers. Raises ValueError."""
    good = np.isfinite(answers) & np.isfinite(outcomes)
    answers, outcomes = answers[good].astype(np.float64), outcomes[good].astype(np.float64)
    bins = int(np.clip(len(answers) // ROWS_A_BIN, 1, MOST_BINS))
    edges = np.unique(np.quantile(answers, np.linspace(0, 1, bins + 1)[1:-1])) if len(answers) else np.empty(0)
    residuals = np.abs(outcomes - answers)
    bin_of = np.searchsorted(edges, answers, side="right")
    found = [np.sort(residuals[bin_of == at]).tolist() for at in range(len(edges) + 1)]
    return FittedInterval(found, edges.tolist())


def fit_set(probabilities: Array, classes: Array) -> FittedInterval:
    """From probabilities [rows, classes] and the position of each row's true class."""
    true = probabilities[np.arange(len(classes)), classes].astype(np.float64)
    return FittedInterval([np.sort(1.0 - true).tolist()])


def intervals(fitted: FittedInterval, answers: Array, coverage: float) -> Array:
    """Low and high [rows, 2] around each answer. Raises ValueError."""
    half = np.array([quantile(scores, coverage) for scores in fitted.scores])
    width = half[np.searchsorted(np.array(fitted.edges), answers, side="right")]
    return np.column_stack([answers - width, answers + width])


def sets(fitted: FittedInterval, probabilities: Array, coverage: float) -> Array:
    """Which classes [rows, classes] belong to the set. Raises ValueError."""
    return np.asarray(1.0 - probabilities.astype(np.float64) <= quantile(fitted.scores[0], coverage))


def quantile(scores: list[float], coverage: float) -> float:
    """The score that a new row's is at most, with probability `coverage` or more. Raises ValueError: too few rows.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.8)
    4.0
    """
    rank = math.ceil(round((len(scores) + 1) * coverage, 9))
    if rank > len(scores):
        raise ValueError(
            f"'coverage' {coverage:g} takes at least {math.ceil(round(coverage / (1 - coverage), 9))} "
            f"calibration rows with similar answers, there are {len(scores)}: give more, or a lower coverage"
        )
    return scores[rank - 1]
