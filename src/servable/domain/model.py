"""Model: something loaded that predicts. Learner: one that also learns."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from servable.domain.batch import Array, Batch


class Model(Protocol):
    """A loaded model. Synchronous; the lane that owns it decides on which thread it is called, one call at a time
    unless `concurrent` is true.
    """

    concurrent: bool
    """Whether `predict` may be called from several threads at the same time."""

    def predict(self, batch: Batch) -> Batch:
        """Outputs for the rows of `batch`, in the same order and number, by the names of the Signature's outputs.

        Must not write to its input, nor keep it. Raises `ModelFailed` or any exception of its own.
        """
        ...

    def close(self) -> None:
        """Give back memory, threads and files. Called once, after the last `predict`."""
        ...


@runtime_checkable
class Learner(Model, Protocol):
    """A Model whose state moves with the outcomes it is shown.

    Learning is deterministic: the same state and the same examples in the same order give the same state, to the bit.
    """

    def learn(self, batch: Batch, outcomes: Array) -> None:
        """Update the state from `batch` and its true outcomes, one a row, row by row in their order."""
        ...

    def check(self, outcomes: Array) -> None:
        """Raise InvalidInput, with every fault, for outcomes that cannot be learned: no class, no finite number."""
        ...

    def snapshot(self) -> bytes:
        """The whole state: weights, optimiser, scalers, random state. Of learners that are data, equal states give
        equal bytes.
        """
        ...

    def restore(self, state: bytes) -> None:
        """Take up a state that `snapshot` of the same learner gave. Raises CorruptModel, IncompatibleModel."""
        ...
