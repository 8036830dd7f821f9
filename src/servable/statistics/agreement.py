"""Agreement beyond a baseline: kappa, against chance and against whoever answers without looking.

J. Cohen, "A coefficient of agreement for nominal scales", 1960; I. Žliobaitė et al., "Evaluation methods and decision
theory for classification of streaming data with temporal dependence", Machine Learning 98 (2015).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence


def kappa(told: Sequence[Hashable], true: Sequence[Hashable]) -> float:
    """Cohen's: accuracy against that of one who answers as often with each class, at random.

    >>> kappa(["a", "a", "b", "b"], ["a", "a", "b", "a"])
    0.5
    """
    count = len(true)
    accuracy = sum(one == other for one, other in zip(told, true, strict=True)) / count
    often, truly = Counter(told), Counter(true)
    chance = sum(often[label] * truly[label] for label in truly) / count**2
    return kappa_over(accuracy, chance)


def kappa_over(accuracy: float, baseline: float) -> float:
    """How much of what a baseline leaves is gained: 1 all, 0 nothing, below 0 less than the baseline. Against "no
    change" it is kappa-temporal.

    >>> round(kappa_over(0.8165, 0.8533), 2)
    -0.25
    """
    return (accuracy - baseline) / (1.0 - baseline) if baseline < 1.0 else 0.0
