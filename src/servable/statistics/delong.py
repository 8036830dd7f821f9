"""AUC: the chance that a random positive scores above a random negative; its error, and that of a difference.

E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, Biometrics 44 (1988); by ranks, as in X. Sun and W. Xu, IEEE Signal
Processing Letters 21 (2014). One pass per class serves one model, two models on the same rows, and the mean over
classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from servable.statistics.interval import LEVEL, NORMAL, UNKNOWN, Interval, logit, normal
from servable.statistics.means import Array


class Auc(NamedTuple):
    """The AUC, and for each row how far it moves it (its influence): variances and covariances follow from these."""

    estimate: float
    influence: Array

    def error(self, clusters: Array | None = None) -> float:
        """The standard error. Rows of one cluster (codes, one a row) are not independent: their influences add up.

        Source for clusters: N. A. Obuchowski, Biometrics 53 (1997).
        """
        together = self.influence if clusters is None else np.bincount(clusters, self.influence)
        return float(np.sqrt(np.sum(together**2))) / max(len(self.influence), 1)

    def interval(self, level: float = LEVEL, clusters: Array | None = None) -> Interval:
        """On the scale of log odds, which keeps it between 0 and 1."""
        return logit(self.estimate, self.error(clusters), level) if np.isfinite(self.estimate) else UNKNOWN


def auc(positive: Array, score: Array) -> Auc:
    """`positive` is whether each row is one, `score` what it was given. NaN where all rows are of one kind.

    >>> found = auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> found.estimate, round(found.error(), 4)
    (0.75, 0.3536)
    """
    positive = np.asarray(positive, bool)
    above, below = score[positive], score[~positive]
    many, few = len(above), len(below)
    if not many or not few:
        return Auc(float("nan"), np.full(len(score), np.nan))
    together = midranks(score)
    placed_above = (together[positive] - midranks(above)) / few
    placed_below = 1 - (together[~positive] - midranks(below)) / many
    estimate = float(placed_above.mean())
    influence = np.empty(len(score))
    # Divided by n - 1, as the variances of the paper are.
    influence[positive] = (placed_above - estimate) * len(score) / np.sqrt(many * max(many - 1, 1))
    influence[~positive] = (placed_below - estimate) * len(score) / np.sqrt(few * max(few - 1, 1))
    return Auc(estimate, influence)


def mean_auc(truth: Array, scores: Array) -> Auc:
    """The mean over classes of each class against the rest: `truth` are codes, `scores` one column a class.

    Classes that no row has, or all, are left out.
    """
    found = [auc(truth == code, scores[:, code]) for code in range(scores.shape[1])]
    known = [each for each in found if np.isfinite(each.estimate)]
    if not known:
        return Auc(float("nan"), np.full(len(truth), np.nan))
    return Auc(
        float(np.mean([each.estimate for each in known])), np.asarray(np.mean([each.influence for each in known], 0))
    )


def difference(first: Auc, second: Auc, level: float = LEVEL, clusters: Array | None = None) -> tuple[Interval, float]:
    """First less second on the same rows, and the two-sided p-value of there being none."""
    gap = first.estimate - second.estimate
    if not np.isfinite(gap):
        return UNKNOWN, float("nan")
    error = Auc(gap, first.influence - second.influence).error(clusters)
    if error == 0.0:
        return Interval(gap, gap, gap), 1.0 if gap == 0 else 0.0
    return normal(gap, error, level), 2 * NORMAL.cdf(-abs(gap) / error)


def midranks(values: Array) -> Array:
    """Ranks from 1; equal values share the middle of theirs.

    >>> midranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[codes])
