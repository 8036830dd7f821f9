"""Ftrl: logistic regression by FTRL-proximal, a step an example, a learning rate a coordinate.

McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013, algorithm 1. Two classes share one vector of
weights; more have one each, against the rest. Numbers are scaled on the way (`scale.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.signature import Signature
from servable.errors import ModelFailed
from servable.online.learners import state
from servable.online.learners.features import Features
from servable.online.learners.labels import Labels
from servable.online.learners.scale import Scale

NAME: Final = "ftrl"
STEEP: Final = 35.0
"""Beyond it a probability is 0 or 1 in float64."""


class Ftrl:
    """A Learner. Equal examples in equal order give equal weights, to the bit."""

    concurrent = False
    clips = True
    """It brings inputs within reach itself."""

    def __init__(
        self,
        signature: Signature,
        classes: Sequence[Any],
        *,
        alpha: float = 0.1,
        beta: float = 1.0,
        l1: float = 0.0,
        l2: float = 0.0,
        hash_bits: int = 18,
    ) -> None:
        """`alpha`, `beta`: the learning rate's, as in the paper. `l1` makes weights zero, `l2` small."""
        self.labels = Labels(classes)
        self._features = Features(signature, hash_bits)
        self._scale = Scale(self._features.dense)
        self._alpha, self._beta, self._l1, self._l2 = alpha, beta, l1, l2
        self._facts = {
            "classes": list(classes), "size": self._features.size, "hash_bits": hash_bits,
            "alpha": alpha, "beta": beta, "l1": l1, "l2": l2,
        }  # fmt: skip
        rows = 1 if len(classes) == 2 else len(classes)
        self._z = np.zeros((rows, self._features.size))
        self._n = np.zeros((rows, self._features.size))
        self._weights = np.zeros((rows, self._features.size))

    def predict(self, batch: Batch) -> Batch:
        """`label` and `probabilities`, a row each."""
        if not self._weights.size:
            raise ModelFailed("the model is closed")
        encoded = self._features.encode(batch)
        scores = self._scale.scaled(encoded.dense) @ self._weights[:, : self._features.dense].T
        for row, places in enumerate(encoded.sparse):
            if len(places):
                scores[row] += self._weights[:, places].sum(axis=1)
        chances = _logistic(scores)
        if len(self._weights) == 1:
            chances = np.column_stack([1.0 - chances[:, 0], chances[:, 0]])
        else:
            chances /= chances.sum(axis=1, keepdims=True)
        return Batch(self.labels.columns(chances), batch.rows)

    def learn(self, batch: Batch, outcomes: Array) -> None:
        """A step for each row, in order."""
        places = self.labels.places(outcomes)
        targets = places[:, None] == (np.array([1]) if len(self._weights) == 1 else np.arange(len(self._weights)))
        encoded = self._features.encode(batch)
        for dense, sparse, target in zip(encoded.dense, encoded.sparse, targets.astype(np.float64), strict=True):
            values = self._scale.learn(dense)
            scores = self._weights[:, : len(values)] @ values
            if len(sparse):
                scores = scores + self._weights[:, sparse].sum(axis=1)
            error = _logistic(scores) - target
            self._step(slice(0, len(values)), error[:, None] * values)
            if len(sparse):
                self._step(sparse, np.repeat(error[:, None], len(sparse), axis=1))

    def check(self, outcomes: Array) -> None:
        self.labels.places(outcomes)

    def _step(self, at: slice | Array, gradient: Array) -> None:
        n = self._n[:, at]
        grown = n + gradient * gradient
        root = np.sqrt(grown)
        sigma = (root - np.sqrt(n)) / self._alpha
        z = self._z[:, at] + gradient - sigma * self._weights[:, at]
        self._n[:, at] = grown
        self._z[:, at] = z
        self._weights[:, at] = self._weights_of(z, root)

    def _weights_of(self, z: Array, root: Array) -> Array:
        """By algorithm 1; `root` is that of n."""
        shrunk = np.sign(z) * np.maximum(np.abs(z) - self._l1, 0.0) if self._l1 else z
        weights: Array = -shrunk / ((self._beta + root) / self._alpha + self._l2)
        return weights

    def snapshot(self) -> bytes:
        return state.dumps(NAME, self._facts, {"z": self._z, "n": self._n, **self._scale.state()})

    def restore(self, data: bytes) -> None:
        arrays = state.loads(data, NAME, self._facts)
        self._z, self._n = arrays["z"], arrays["n"]
        self._weights = self._weights_of(self._z, np.sqrt(self._n))
        self._scale.take(arrays)

    def parameters(self) -> Array:
        """The weights, flat: what a guard watches."""
        return self._weights.ravel()

    def close(self) -> None:
        self._weights = self._weights[:, :0]


def _logistic(scores: Array) -> Array:
    if scores.size == 1:  # most often: one row of two classes
        score = min(max(scores.item(), -STEEP), STEEP)
        return np.full(scores.shape, 1.0 / (1.0 + math.exp(-score)))
    chances: Array = 1.0 / (1.0 + np.exp(-np.clip(scores, -STEEP, STEEP)))
    return chances
