"""SklearnLearner: an estimator of scikit-learn that has `partial_fit`, or a pipeline of such."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from servable.domain.batch import Array
from servable.online.learners.python_learner import PythonLearner


class SklearnLearner(PythonLearner):
    """`model` makes the steps: transformers, then the estimator, each with `partial_fit`. All columns are numbers, side
    by side.
    """

    def model(self) -> list[Any]:
        """Fresh steps. Give each its `random_state`."""
        raise NotImplementedError(f"{type(self).__name__} has no model")

    def load(self, folder: Any) -> None:  # noqa: ARG002 - it begins with nothing
        self._steps = self.model()
        self._learned = False

    def predict(self, batch: dict[str, Array]) -> dict[str, Any]:
        x = matrix(batch)
        kind = object if self.classes and isinstance(self.classes[0], str) else np.int64
        labels = np.array(self.classes, kind)
        if not self._learned or not len(x):
            if not self.classes:
                return {"prediction": np.zeros(len(x))}
            shares = np.full((len(x), len(labels)), 1.0 / len(labels))
            return {"label": labels[shares.argmax(axis=1)], "probabilities": shares}
        *before, last = self._steps
        for step in before:
            x = step.transform(x)
        if not self.classes:
            return {"prediction": np.asarray(last.predict(x), np.float64)}
        places = np.asarray(last.predict(x), np.intp)
        shares = last.predict_proba(x) if hasattr(last, "predict_proba") else np.eye(len(labels))[places]
        return {"label": labels[places], "probabilities": shares}

    @property
    def trained(self) -> list[Any]:
        """The steps as they are now; none before the first example."""
        return self._steps if self._learned else []

    def learn(self, batch: dict[str, Array], outcomes: Array) -> None:
        x = matrix(batch)
        known: dict[str, Any] = {}
        if self.classes:
            place = {one: at for at, one in enumerate(self.classes)}
            outcomes = np.array([place[one] for one in outcomes.tolist()])
            known["classes"] = np.arange(len(self.classes))
        *before, last = self._steps
        for row in range(len(x)):
            one = x[row : row + 1]
            for step in before:
                one = step.partial_fit(one).transform(one)
            last.partial_fit(one, outcomes[row : row + 1], **known)
        self._learned = self._learned or len(x) > 0

    def state(self) -> Any:
        return self._learned, self._steps

    def take(self, state: Any) -> None:
        self._learned, self._steps = state


def matrix(batch: dict[str, Array]) -> Array:
    """All columns side by side, as float64."""
    return np.column_stack([wide(values) for values in batch.values()]).astype(np.float64)


def wide(values: Array) -> Array:
    """A column as a matrix, of no rows as well."""
    return values.reshape(len(values), math.prod(values.shape[1:]))
