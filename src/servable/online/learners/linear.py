"""Linear: regression by normalised adaptive gradient steps, which no unit of any input can throw off.

Ross, Mineiro, Langford, "Normalized Online Learning", UAI 2013, algorithm 2 (NAG): each weight shrinks when its input
shows a larger value than ever, and each step is divided by what the input and its gradients have been. Squared loss, on
targets that are brought to mean 0 and deviation 1 by moments learned on the way.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import InvalidInput, ModelFailed
from servable.online.learners import state
from servable.online.learners.features import Features
from servable.online.learners.memory import Memory
from servable.online.learners.scale import Scale
from servable.online.learners.weighted import Weighted, known_weights

NAME: Final = "linear"
OUTPUT: Final = Field("prediction", "FP64")


class Linear:
    """A Learner that predicts a number."""

    concurrent = False
    clips = False

    def __init__(self, signature: Signature, *, rate: float = 0.5, memory: Memory | None = None) -> None:
        """`rate`: the length of a step; the rest adapts."""
        memory = memory or Memory()
        self._features = Features(signature, memory.hash_bits)
        self._table = memory.table(self._features)
        self._rate = rate
        self._facts = {"size": self._features.size, **memory.facts(), "rate": rate}
        size = memory.size(self._features)
        self._weights, self._largest, self._gradients = np.zeros(size), np.zeros(size), np.zeros(size)
        self._seen = np.zeros(2)
        """Examples, and the sum of their normalised squared lengths: the paper's t and N."""
        self._target = Scale(2)

    def predict(self, batch: Batch) -> Batch:
        """`prediction`, one a row."""
        if not self._weights.size:
            raise ModelFailed("the model is closed")
        encoded = self._features.encode(batch)
        told: Array = encoded.dense @ self._weights[: self._features.dense]
        for row, features in enumerate(encoded.sparse):
            if len(features):
                told[row] += self._weights[self._table.find(features)].sum()
        return Batch({OUTPUT.name: self._target.mean[1] + told * self._target.deviation[1]}, batch.rows)

    def learn(self, batch: Batch, outcomes: Array) -> None:
        """A step for each row, in order."""
        targets = numbers(outcomes)
        encoded = self._features.encode(batch)
        scaled = self._target.learn(np.column_stack([np.ones(len(targets)), targets]))[:, 1]
        for dense, features, target in zip(encoded.dense, encoded.sparse, scaled.tolist(), strict=True):
            sparse = features
            if len(features):
                sparse, freed = self._table.meet(features)
                for held in (self._weights, self._largest, self._gradients):
                    held[freed] = 0.0
            at = np.concatenate([np.flatnonzero(dense), sparse])
            values = np.concatenate([dense[dense != 0.0], np.ones(len(sparse))])
            self._step(at, values, target)

    def check(self, outcomes: Array) -> None:
        numbers(outcomes)

    def _step(self, at: Array, values: Array, target: float) -> None:
        size, before = np.abs(values), self._largest[at]
        largest = np.maximum(size, before)
        weights = self._weights[at] * (before / largest)
        error = float(weights @ values) - target
        self._seen += (1.0, float(((values / largest) ** 2).sum()))
        gradient = 2.0 * error * values
        gradients = self._gradients[at] + gradient**2
        pace = self._rate * np.sqrt(self._seen[0] / self._seen[1])
        step = np.divide(gradient, largest * np.sqrt(gradients), out=np.zeros_like(gradient), where=gradients > 0.0)
        self._weights[at] = weights - pace * step
        self._largest[at] = largest
        self._gradients[at] = gradients

    def snapshot(self) -> bytes:
        return state.dumps(NAME, self._facts, self._arrays())

    def _arrays(self) -> dict[str, Array]:
        used = slice(self._table.end)
        return {
            "weights": self._weights[used], "largest": self._largest[used], "gradients": self._gradients[used],
            "seen": self._seen, **self._target.state(), **self._table.state(),
        }  # fmt: skip

    def restore(self, data: bytes) -> None:
        arrays = state.loads(data, NAME, self._facts)
        self._table.take(arrays)
        self._weights, self._largest, self._gradients = np.zeros((3, len(self._weights)))
        for held, name in ((self._weights, "weights"), (self._largest, "largest"), (self._gradients, "gradients")):
            held[: self._table.end] = arrays[name]
        self._seen = arrays["seen"]
        self._target.take(arrays)

    def parameters(self) -> Array:
        """The weights: what a guard watches."""
        return self._weights

    def weighted(self) -> Weighted:
        """What it is now, to leave its library. Raises ConversionRejected."""
        mean, deviation = self._target.mean[1], self._target.deviation[1]
        weights, bias, absent, words = known_weights(self._features, self._table, self._weights[None] * deviation)
        zero, one = np.zeros(weights.shape[1]), np.ones(weights.shape[1])
        return Weighted(zero, one, weights, bias + mean, "number", None, absent, words)

    def close(self) -> None:
        self._weights = self._weights[:0]


def numbers(outcomes: Array) -> Array:
    """Outcomes as numbers. Raises InvalidInput where one is none, or not finite."""
    try:
        numbers = np.asarray(outcomes, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"outcomes: expected numbers, got {outcomes.tolist()!r:.100}") from error
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise InvalidInput("outcomes: expected finite numbers", faults=[f"row {row}" for row in wrong[:20].tolist()])
    return numbers
