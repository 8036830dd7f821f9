"""Betting: always-valid tests of the mean of losses that lie between 0 and 1, without any assumption on their shape."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

Losses = np.ndarray[Any, np.dtype[np.float64]]

BOLD: Final = 0.5
"""The share of its wealth that a bet may risk at the most: never all, so that no single loss ends the game."""


def wealth(losses: Losses, limit: float) -> Losses:
    """Evidence, after each loss, that their mean is above `limit`: 1 at the start, 20 is an error of 5 % at the most.

    Losses stand along the last axis; further axes are games of their own. Each stake is chosen from the losses before
    it: the mean excess over its second moment, the approximate best of I. Waudby-Smith and A. Ramdas, "Estimating means
    of bounded random variables by betting", arXiv 2010.09686, section B.3.

    >>> losses = np.tile([0.0, 0.4, 0.8], 20)
    >>> evidence = wealth(losses, limit=0.2)
    >>> bool(evidence[-1] > 20), bool(wealth(losses, limit=0.4)[-1] < 1.5)
    (True, True)
    """
    losses = np.asarray(losses, np.float64)
    if losses.size and (losses.min() < 0 or losses.max() > 1):
        raise ValueError(f"losses lie between 0 and 1, these reach from {losses.min():g} to {losses.max():g}")
    if not 0 < limit < 1:
        raise ValueError(f"the limit of a mean loss lies between 0 and 1, got {limit:g}")
    count = np.arange(1, losses.shape[-1] + 1)
    # One imagined loss at the limit, and a spread of 1/4 beside it, before the first: no stake on nothing.
    mean = (limit + np.cumsum(losses, -1)) / (count + 1)
    spread = (0.25 + np.cumsum((losses - mean) ** 2, -1)) / (count + 1)
    excess = _before(mean, limit) - limit
    stake = np.clip(excess / (_before(spread, 0.25) + excess**2), 0.0, BOLD / limit)
    gained: Losses = np.cumsum(np.log1p(stake * (losses - limit)), -1)
    return np.exp(gained)


def _before(values: Losses, first: float) -> Losses:
    """What was known before each loss."""
    return np.concatenate([np.full((*values.shape[:-1], 1), first), values[..., :-1]], -1)
