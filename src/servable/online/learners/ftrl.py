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
from servable.online.learners.memory import Memory
from servable.online.learners.scale import SETTLED, Scale
from servable.online.learners.weighted import Weighted, known_weights

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
        memory: Memory | None = None,
    ) -> None:
        """`alpha`, `beta`: the learning rate's, as in the paper. `l1` makes weights zero, `l2` small."""
        self.labels = Labels(classes)
        memory = memory or Memory()
        self._features = Features(signature, memory.hash_bits)
        self._table = memory.table(self._features)
        self._scale = Scale(self._features.dense)
        self._alpha, self._beta, self._l1, self._l2 = alpha, beta, l1, l2
        self._facts = {
            "classes": list(classes), "size": self._features.size, **memory.facts(),
            "alpha": alpha, "beta": beta, "l1": l1, "l2": l2,
        }  # fmt: skip
        rows = 1 if len(classes) == 2 else len(classes)
        self._held = np.zeros((4, rows, memory.size(self._features)))
        """The paper's z and n, the root of n, and the weights that follow from them."""

    def predict(self, batch: Batch) -> Batch:
        """`label` and `probabilities`, a row each."""
        weights = self._held[3]
        if not weights.size:
            raise ModelFailed("the model is closed")
        encoded = self._features.encode(batch)
        scores = self._scale.scaled(encoded.dense) @ weights[:, : self._features.dense].T
        for row, features in enumerate(encoded.sparse):
            if len(features):
                scores[row] += weights[:, self._table.find(features)].sum(axis=1)
        chances = _logistic(scores)
        if len(weights) == 1:
            both = np.empty((batch.rows, 2))
            np.subtract(1.0, chances[:, 0], both[:, 0])
            both[:, 1] = chances[:, 0]
            chances = both
        else:
            chances /= chances.sum(axis=1, keepdims=True)
        return Batch(self.labels.columns(chances), batch.rows)

    def learn(self, batch: Batch, outcomes: Array) -> None:
        """A step for each row, in order."""
        places = self.labels.places(outcomes)
        two = self._held.shape[1] == 1
        targets = (places[:, None] == (np.array([1]) if two else np.arange(self._held.shape[1]))).astype(np.float64)
        encoded = self._features.encode(batch)
        near = self._held[:, :, : self._features.dense]
        weights, only, told = near[3], near[3, 0], targets[:, 0].tolist()
        scaled = self._scale.learn(encoded.dense)
        for row, (values, features) in enumerate(zip(scaled, encoded.sparse, strict=True)):
            sparse = features
            if len(features):
                sparse, freed = self._table.meet(features)
                self._held[:, :, freed] = 0.0
            if two and not len(sparse):  # most often: a single score, for which Python is quicker than numpy
                self._step(near, (_chance(float(only.dot(values))) - told[row]) * values)
                continue
            scores = weights @ values
            if len(sparse):
                scores = scores + self._held[3][:, sparse].sum(axis=1)
            error = (_logistic(scores) - targets[row])[:, None]
            self._step(near, error * values)
            if len(sparse):
                far = self._held[:, :, sparse]
                self._step(far, np.repeat(error, len(sparse), axis=1))
                self._held[:, :, sparse] = far

    def check(self, outcomes: Array) -> None:
        self.labels.places(outcomes)

    def _step(self, held: Array, gradient: Array) -> None:
        """Algorithm 1 at some coordinates, in their place."""
        z, n, root, weights = held
        n += gradient * gradient
        grown = np.sqrt(n)
        root -= grown
        root *= weights
        root /= self._alpha
        z += gradient
        z += root  # g - sigma w
        root[...] = grown
        self._weigh(z, root, weights)

    def _weigh(self, z: Array, root: Array, weights: Array) -> None:
        """The weights, by algorithm 1."""
        shrunk = np.sign(z) * np.maximum(np.abs(z) - self._l1, 0.0) if self._l1 else z
        np.add(root, self._beta + self._alpha * self._l2, weights)
        np.divide(shrunk, weights, weights)
        weights *= -self._alpha

    def snapshot(self) -> bytes:
        z, n = self._held[:2, :, : self._table.end]
        return state.dumps(NAME, self._facts, {"z": z, "n": n, **self._scale.state(), **self._table.state()})

    def restore(self, data: bytes) -> None:
        arrays = state.loads(data, NAME, self._facts)
        self._table.take(arrays)
        self._held = np.zeros_like(self._held)
        held = self._held[:, :, : self._table.end]
        held[0], held[1], held[2] = arrays["z"], arrays["n"], np.sqrt(arrays["n"])
        self._weigh(held[0], held[2], held[3])
        self._scale.take(arrays)

    def parameters(self) -> Array:
        """The weights, flat: what a guard watches."""
        weights: Array = self._held[3].ravel()
        return weights

    def weighted(self) -> Weighted:
        """What it is now, to leave its library. Raises ConversionRejected."""
        weights, bias, absent, words = known_weights(self._features, self._table, self._held[3])
        scale = self._scale
        reach = scale.reach if scale.count >= SETTLED else None
        return Weighted(scale.mean[1:], scale.deviation[1:], weights, bias, "logistic", reach, absent, words)

    def close(self) -> None:
        self._held = self._held[:, :, :0]


def _chance(score: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(score, -STEEP), STEEP)))


def _logistic(scores: Array) -> Array:
    # In its place, and by what np.clip comes to: for a row, a call takes longer than what it does.
    chances: Array = np.negative(np.minimum(np.maximum(scores, -STEEP), STEEP))
    np.exp(chances, chances)
    chances += 1.0
    np.divide(1.0, chances, chances)
    return chances
