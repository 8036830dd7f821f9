"""Weights: what a learner shows of them, to see how far they move. Those in Python show none."""

from __future__ import annotations

import numpy as np

from servable.domain.batch import Array
from servable.domain.model import Learner


def weights_of(learner: Learner) -> Array | None:
    """A copy of all that it shows of them."""
    parameters = getattr(learner, "parameters", None)
    return None if parameters is None else np.array(parameters())


def distance(before: Array | None, now: Array | None) -> float:
    """The longest way that a weight has gone.

    >>> distance(np.array([1.0, 2.0]), np.array([1.5, 0.0])), distance(None, None)
    (2.0, 0.0)
    """
    return 0.0 if before is None or now is None else float(np.abs(now - before).max(initial=0.0))
