"""Arms: for each action a ridge regression of its reward on the context: what is expected, and how uncertain that is.

Li et al., WWW 2010, algorithm 1: A is the identity (times the ridge) plus the sum of x xᵀ, b the sum of r x; expected
is bᵀ A⁻¹ x, and its width the square root of xᵀ A⁻¹ x. A⁻¹ is kept beside A by the Sherman–Morrison formula, and
computed anew now and then, so that no error grows.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from servable.domain.batch import Array

ANEW: Final = 500
"""Examples of an arm between two inversions."""


class Arms:
    """`actions` arms over contexts of `size` numbers."""

    def __init__(self, actions: int, size: int, ridge: float) -> None:
        self.counts = np.zeros(actions, np.int64)
        self._moments = np.tile(np.eye(size) * ridge, (actions, 1, 1))
        self._inverse = np.tile(np.eye(size) / ridge, (actions, 1, 1))
        self._sums = np.zeros((actions, size))
        self.weights = np.zeros((actions, size))

    def judge(self, context: Array) -> tuple[Array, Array]:
        """Of each action the reward that is expected in this context, and its width."""
        spread = (self._inverse @ context) @ context
        return self.weights @ context, np.sqrt(np.maximum(spread, 0.0))

    def learn(self, action: int, context: Array, reward: float) -> None:
        """What an action brought in a context."""
        self._moments[action] += np.outer(context, context)
        self._sums[action] += reward * context
        self.counts[action] += 1
        if self.counts[action] % ANEW == 0:
            inverse = np.linalg.inv(self._moments[action])
            inverse = (inverse + inverse.T) / 2.0
        else:
            inverse = self._inverse[action]
            along = inverse @ context
            inverse = inverse - np.outer(along, along) / (1.0 + context @ along)
        self._inverse[action] = inverse
        self.weights[action] = inverse @ self._sums[action]

    def state(self) -> dict[str, Array]:
        """All that `take` needs: of the matrices, which are symmetric, one half."""
        half = np.triu_indices(self._sums.shape[1])
        moments, inverse = (matrices[:, half[0], half[1]] for matrices in (self._moments, self._inverse))
        return {"counts": self.counts, "moments": moments, "inverse": inverse, "sums": self._sums}

    def take(self, state: dict[str, Array]) -> None:
        """Be what `state` told."""
        self.counts, self._sums = state["counts"], state["sums"]
        above, along = np.triu_indices(self._sums.shape[1])
        for matrices, half in ((self._moments, state["moments"]), (self._inverse, state["inverse"])):
            matrices[:, above, along] = half
            matrices[:, along, above] = half
        self.weights = np.stack([inverse @ sums for inverse, sums in zip(self._inverse, self._sums, strict=True)])
