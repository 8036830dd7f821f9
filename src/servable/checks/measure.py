"""Measure: a metric by its name, of answers against the truth, as a statistic that knows its own interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from servable.bundles.answer import Answer, as_classes, codes_of, named, texts_of
from servable.domain.batch import Array
from servable.domain.demand import METRICS
from servable.errors import UsageError
from servable.statistics import classification, delong, regression
from servable.statistics.bootstrap import at_most, bca, draw
from servable.statistics.calibration import calibration
from servable.statistics.interval import NORMAL, Interval
from servable.statistics.means import Means, difference
from servable.statistics.proportion import wilson

OF_NUMBERS: Final = {
    "mae": regression.mae, "rmse": regression.rmse, "mape": regression.mape, "r2": regression.r2,
    "bias": regression.bias,
}  # fmt: skip
OF_A_CLASS: Final[dict[str, Callable[[Array, Array, int], Means]]] = {
    "precision": classification.precision, "recall": classification.recall,
    "specificity": classification.specificity, "f1": classification.f1,
}  # fmt: skip
TWO: Final = 2


class Judged(NamedTuple):
    """Answers beside the truth: codes of `answer.classes`, which hold what the truth has too, or numbers.

    `clusters`, where rows are not independent (several of one customer), are codes, one a row.
    """

    answer: Answer
    truth: Array
    clusters: Array | None = None

    def of(self, rows: Array) -> Judged:
        """Of some rows."""
        return Judged(self.answer.of(rows), self.truth[rows], None if self.clusters is None else self.clusters[rows])

    def __len__(self) -> int:
        return len(self.truth)


def judged(answer: Answer, truth: Any, clusters: Array | None = None) -> Judged:
    """Answers and the label's values on one scale. Raises UsageError where they do not speak of the same."""
    values = np.asarray(truth)
    texts = texts_of(values)
    seen = sorted(set(texts))
    probable = len(seen) <= TWO and answer.numbers is not None and _probable(answer.numbers)
    if answer.numbers is not None and values.dtype.kind in "fiu" and not probable:
        return Judged(answer, values.astype(np.float64), clusters)
    answer = as_classes(answer, seen)
    if not set(seen) & set(answer.classes):
        told = ", ".join(map(repr, seen[:5]))
        raise UsageError(f"the label is one of {told}; of the model's classes {named(answer.classes)}")
    more = tuple(name for name in seen if name not in answer.classes)
    if more:
        scores = answer.scores
        if scores is not None:
            scores = np.concatenate([scores, np.zeros((len(scores), len(more)))], axis=1)
        # A class that the model does not know: it is wrong about each of its rows.
        answer = answer._replace(classes=answer.classes + more, scores=scores)
    return Judged(answer, codes_of(texts, answer.classes), clusters)


def measured(metric: str, rows: Judged, of: str = "") -> Means | delong.Auc:
    """The statistic. Raises UsageError for a metric that does not fit the answers."""
    answer, truth = rows.answer, rows.truth
    if metric in OF_NUMBERS:
        if answer.numbers is None:
            raise _unfit(metric, "numbers, and the model answers with classes", "accuracy, auc or f1")
        return OF_NUMBERS[metric](truth, answer.numbers)
    if answer.chosen is None:
        raise _unfit(metric, "classes, and the model answers with a number", "mae, rmse or r2")
    count = len(answer.classes)
    if metric == "accuracy":
        return classification.accuracy(truth, answer.chosen)
    if metric == "balanced_accuracy":
        return classification.balanced_accuracy(truth, answer.chosen, count)
    if metric in OF_A_CLASS:
        if not of and count > TWO:
            if metric == "f1":
                return classification.f1_macro(truth, answer.chosen, count)
            asked = f"{metric}({answer.classes[-1]})"
            raise UsageError(f"{metric} of {count} classes is of one of them, like {asked}: {named(answer.classes)}")
        return OF_A_CLASS[metric](truth, answer.chosen, answer.code(of))
    if answer.scores is None:
        raise _unfit(metric, "probabilities, and the model answers with classes alone", "accuracy or f1")
    if metric == "auc":
        if not of and count > TWO:
            return delong.mean_auc(truth, answer.scores)
        code = answer.code(of)
        return delong.auc(truth == code, answer.scores[:, code])
    if not answer.calibrated:
        raise _unfit(metric, "probabilities, and the model's scores are none", "accuracy or auc")
    return (classification.log_loss if metric == "log_loss" else classification.brier)(truth, answer.scores)


def interval(metric: str, rows: Judged, of: str = "", *, seed: int = 0) -> Interval:
    """The metric with its 95 % interval: Wilson's, DeLong's, that of the calibration error, or the bootstrap's."""
    if metric == "ece":
        return calibration(*outcome(rows, of), seed=seed, clusters=rows.clusters).error
    statistic = measured(metric, rows, of)
    if isinstance(statistic, delong.Auc):
        return statistic.interval(clusters=rows.clusters)
    if statistic.proportion is not None and rows.clusters is None:
        return wilson(*statistic.proportion)
    return bca(statistic, seed=seed, clusters=rows.clusters)


class Gap(NamedTuple):
    """By how much the first is above the second on the same rows, and how likely so if it were `limit` or less."""

    interval: Interval
    p_value: float


def gap(metric: str, first: Judged, second: Judged, limit: float, of: str = "", *, seed: int = 0) -> Gap:
    """The paired difference in the direction that is better. Raises UsageError."""
    if metric in {"ece", "bias"}:
        raise UsageError(f"{metric} is held against a number, like '{metric}<=0.05', not against a champion")
    one, other = measured(metric, first, of), measured(metric, second, of)
    if isinstance(one, delong.Auc) and isinstance(other, delong.Auc):
        found, _ = delong.difference(one, other, clusters=first.clusters)
        error = delong.Auc(0.0, one.influence - other.influence).error(first.clusters)
        if error == 0:
            return Gap(found, 0.0 if found.estimate > limit else 1.0)
        return Gap(found, NORMAL.cdf((limit - found.estimate) / error))
    assert isinstance(one, Means)  # noqa: S101 - a metric is of one kind
    assert isinstance(other, Means)  # noqa: S101 - as above
    better = difference(other, one) if METRICS[metric] == "lower" else difference(one, other)
    drawn = draw(better, seed=seed, clusters=first.clusters)
    return Gap(bca(better, seed=seed, clusters=first.clusters), at_most(drawn, limit))


def outcome(rows: Judged, of: str = "") -> tuple[Array, Array]:
    """Whether it came true, and with what probability it was told: of a class, or of many the class that was chosen.

    Raises UsageError.
    """
    answer = rows.answer
    if answer.scores is None or not answer.calibrated or answer.chosen is None:
        raise _unfit("ece", "probabilities, and the model has none", "accuracy")
    if of or len(answer.classes) <= TWO:
        code = answer.code(of)
        return (rows.truth == code).astype(float), answer.scores[:, code]
    return (rows.truth == answer.chosen).astype(float), answer.scores.max(axis=1)


def _probable(numbers: Array) -> bool:
    return bool(np.all((numbers >= 0) & (numbers <= 1)))


def _unfit(metric: str, why: str, instead: str) -> UsageError:
    return UsageError(f"{metric} is of {why}: use {instead}")
