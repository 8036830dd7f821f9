"""Choice: from what is known of each action to the probability that each is taken, and the one that is. Pure functions:
the same numbers and the same token give the same action, so a replay chooses the same.

`means` and `widths` are, for each action, the reward that is expected of it in this context, and how uncertain that is.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from itertools import accumulate
from typing import Final

import numpy as np

from servable.domain.batch import Array

EDGE: Final = 8
STEPS: Final = 64
"""Of the normal distribution's table, a deviation."""
NORMAL: Final = np.array(
    [0.5 * math.erfc(-at / STEPS / math.sqrt(2.0)) for at in range(-EDGE * STEPS, EDGE * STEPS + 2)]
)
NODES: Final = np.linspace(-6.0, 6.0, 97)
DENSITY: Final = np.exp(-0.5 * NODES**2)


def greedy(means: Array, widths: Array) -> Array:  # noqa: ARG001 - all ways to choose take the same
    """All on the action of which most is expected; equal ones share.

    >>> greedy(np.array([0.2, 0.5, 0.5]), np.zeros(3)).tolist()
    [0.0, 0.5, 0.5]
    """
    best = means == means.max()
    return np.asarray(best / best.sum())


def upper(means: Array, widths: Array) -> Array:
    """All on the action of which most may be hoped: LinUCB (Li, Chu, Langford, Schapire, "A contextual-bandit approach
    to personalized news article recommendation", WWW 2010, algorithm 1; the widths hold its alpha already).

    >>> upper(np.array([0.2, 0.5]), np.array([0.4, 0.0])).tolist()
    [1.0, 0.0]
    """
    return greedy(means + widths, widths)


def sampled(means: Array, widths: Array) -> Array:
    """Thompson sampling: each action as often as it is the best one, where each reward is drawn from its normal
    distribution (Agrawal, Goyal, "Thompson sampling for contextual bandits with linear payoffs", ICML 2013).

    To draw the rewards and take the best would not tell how likely that action was, which off-policy evaluation needs.
    So the probabilities are computed (by the trapezoid rule over the reward of each), and the action is drawn by them:
    the same distribution, and what is logged is what was drawn by.

    >>> sampled(np.array([0.0, 0.0]), np.array([1.0, 1.0])).tolist()
    [0.5, 0.5]
    """
    if not widths.any():
        return greedy(means, widths)
    widths = np.maximum(widths, 1e-12 * widths.max())
    rewards = means[:, None] + widths[:, None] * NODES
    shares = np.empty(len(means))
    for place, each in enumerate(rewards):
        below = _normal((each - means[:, None]) / widths[:, None])
        below[place] = 1.0
        shares[place] = DENSITY @ below.prod(axis=0)
    whole: float = shares.sum()
    return shares / whole


def explored(shares: Array, epsilon: float) -> Array:
    """The same, but for a share `epsilon` of the time any action: then none is impossible.

    >>> explored(np.array([1.0, 0.0]), 0.5).tolist()
    [0.75, 0.25]
    """
    return np.asarray((1.0 - epsilon) * shares + epsilon / len(shares))


def draw(shares: Array, token: str | bytes, seed: int) -> int:
    """The place of an action: by a number between 0 and 1 that the token and the seed alone decide.

    >>> draw(np.array([0.5, 0.5]), "request 1", 0), draw(np.array([0.0, 1.0]), "request 1", 0)
    (0, 1)
    """
    data = token.encode() if isinstance(token, str) else token
    digest = hashlib.blake2b(data, digest_size=8, key=seed.to_bytes(8, "big", signed=True)).digest()
    number = (int.from_bytes(digest, "big") >> 11) / (1 << 53)
    told: list[float] = shares.tolist()  # of a few actions: an array would cost ten times as much
    ends = list(accumulate(told))
    return min(bisect_right(ends, number * ends[-1]), max(place for place, share in enumerate(told) if share))


def _normal(deviations: Array) -> Array:
    """The share of a normal distribution below each, by its table: within 1e-5."""
    at = np.clip((deviations + EDGE) * STEPS, 0.0, 2 * EDGE * STEPS)
    place = at.astype(np.intp)
    low: Array = NORMAL[place]
    return np.asarray(low + (at - place) * (NORMAL[place + 1] - low))
