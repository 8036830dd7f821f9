"""Off-policy evaluation: what a way to choose would have earned, from the log of another one.

Each row of the log holds a reward, the probability with which the action that brought it was chosen (its propensity),
and the probability with which the other way would have chosen the same. Their quotient is the row's weight. Where the
log never tried what the other way would do, nothing here can tell: see `support`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from servable.statistics.interval import LEVEL, UNKNOWN, Interval, normal

Array = np.ndarray[Any, np.dtype[Any]]


def weights(target: Array, propensities: Array) -> Array:
    """How often each row counts: the target's probability of its action by the log's. Raises ValueError where a
    propensity is not above 0 and at most 1: an action that was taken was possible.

    >>> weights(np.array([1.0, 0.0]), np.array([0.25, 0.5])).tolist()
    [4.0, 0.0]
    """
    if not ((propensities > 0.0) & (propensities <= 1.0)).all():
        raise ValueError("a propensity is above 0 and at most 1")
    return np.asarray(target / propensities)


def ips(weights: Array, rewards: Array, level: float = LEVEL) -> Interval:
    """Inverse propensity scoring: the mean of what each row brought, times its weight. Unbiased; wide where weights
    are large (Li, Chu, Langford, Wang, "Unbiased offline evaluation of contextual-bandit-based news article
    recommendation algorithms", WSDM 2011; Horvitz, Thompson, 1952).

    >>> print(ips(np.array([2.0, 0.0, 2.0, 0.0]), np.array([1.0, 5.0, 0.0, 5.0])))
    0.5 [-0.48, 1.48]
    """
    return _mean(weights * rewards, level)


def snips(weights: Array, rewards: Array, level: float = LEVEL) -> Interval:
    """The same, divided by the mean weight, which is 1 but for chance: a little biased, much less wide, and never
    outside of the rewards (Swaminathan, Joachims, "The self-normalized estimator for counterfactual learning", NIPS
    2015). The interval is by the delta method.

    >>> print(snips(np.array([2.0, 0.0, 2.0, 0.0]), np.array([1.0, 5.0, 0.0, 5.0])))
    0.5 [-0.3002, 1.3]
    """
    whole = float(weights.sum())
    if not whole or len(rewards) < 2:
        return UNKNOWN
    value = float(weights @ rewards) / whole
    error = math.sqrt(float((weights**2) @ (rewards - value) ** 2) * len(rewards) / (len(rewards) - 1)) / whole
    return normal(value, error, level)


def doubly_robust(weights: Array, rewards: Array, taken: Array, target: Array, level: float = LEVEL) -> Interval:
    """What a model expects of the other way, corrected by how it errs at what was taken: right if the propensities
    are, or the model is; narrower the better the model (Dudík, Langford, Li, "Doubly robust policy evaluation and
    learning", ICML 2011; Dudík, Erhan, Langford, Li, Statistical Science 29, 2014).

    `taken` is what the model expects of each row's action, `target` of what the other way would choose, averaged by its
    probabilities. The model must not have learned from the row that it judges.

    >>> print(doubly_robust(np.array([2.0, 0.0]), np.array([1.0, 0.0]), np.array([0.9, 0.2]), np.array([0.9, 0.9])))
    1 [0.804, 1.196]
    """
    return _mean(target + weights * (rewards - taken), level)


def support(weights: Array) -> float:
    """How many rows the weighted ones are worth: the square of their sum by the sum of their squares (Kish, 1965).

    >>> support(np.ones(10)), support(np.array([10.0, 0.0, 0.0]))
    (10.0, 1.0)
    """
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def _mean(values: Array, level: float) -> Interval:
    if len(values) < 2:
        return UNKNOWN
    return normal(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), level)
