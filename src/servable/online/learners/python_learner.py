"""PythonLearner: the class that learners in Python are written against; the sources of River, scikit-learn and PyTorch
below it fill it in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from servable.domain.batch import Array
from servable.domain.field import Field
from servable.errors import CorruptModel
from servable.online.learners import pickled

MAGIC: Final = b"servable-pickled-state\n"


class PythonLearner:
    """`predict` and `learn` are called one after the other, on one thread; the same examples in the same order must
    give the same state, so draw random numbers from a generator that is part of it.

    `inputs` and `outputs` say what goes in and out, by name, as a PythonModel's do; `classes` are those of a
    classifier, whose outputs are its `label` and `probabilities`. `target` names the input, one of them or one more, by
    which a request may tell its own outcome: it is learned once it is answered, and never shown to the model.

    What `state` gives must hold all that learning has changed: the weights, the optimiser, the scalers, the random
    state.

    >>> class Mean(PythonLearner):
    ...     inputs = {"x": "FP64"}
    ...     total, count = 0.0, 0
    ...
    ...     def predict(self, batch):
    ...         return {"prediction": batch["x"] * 0 + self.total / max(self.count, 1)}
    ...
    ...     def learn(self, batch, outcomes):
    ...         self.total, self.count = self.total + outcomes.sum(), self.count + len(outcomes)
    """

    inputs: ClassVar[Mapping[str, str | Field]] = {}
    outputs: ClassVar[Mapping[str, str | Field]] = {}
    classes: ClassVar[Sequence[str | int]] = ()
    target: ClassVar[str] = ""

    def load(self, folder: Path) -> None:
        """Make the model, with what lies in the bundle's folder. Called once, before all else."""

    def predict(self, batch: dict[str, Array]) -> Mapping[str, Any] | Array:
        """Outputs by name, one row for each row that came in."""
        raise NotImplementedError(f"{type(self).__name__} has no predict")

    def learn(self, batch: dict[str, Array], outcomes: Array) -> None:
        """A step for each row, in their order."""
        raise NotImplementedError(f"{type(self).__name__} has no learn")

    def state(self) -> Any:
        """All that learning has changed, as what pickle can write."""
        return self.__dict__

    def take(self, state: Any) -> None:
        """Be what `state` told."""
        self.__dict__.update(state)

    def snapshot(self) -> bytes:
        """`state` as bytes, behind a digest."""
        data = pickled.dumps(self.state())
        return MAGIC + hashlib.sha256(data).digest() + data

    def restore(self, data: bytes) -> None:
        """Take up a state that `snapshot` gave. Raises CorruptModel. It is read by pickle: by the process that ran this
        very source before, from a file that only it writes.
        """
        digest, rest = data[len(MAGIC) : len(MAGIC) + 32], data[len(MAGIC) + 32 :]
        if not data.startswith(MAGIC) or hashlib.sha256(rest).digest() != digest:
            raise CorruptModel("this is not the state of a learner, or it is damaged")
        self.take(pickled.loads(rest))  # it can hold no more than the source itself may do

    def close(self) -> None:
        """Give back what `load` took."""
