"""RiverLearner: any model or pipeline of River that predicts classes or numbers, row by row as River learns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array
from servable.online.learners.python_learner import PythonLearner
from servable.online.learners.river_models import suited
from servable.online.learners.sklearn import wide

SHOWN: Final = 3
"""Batches whose features are kept: what is to be learned, a row that was, and the rows that guards ask about."""


class RiverLearner(PythonLearner):
    """`model` makes it. A feature is a column; of a column of several numbers, each is one: `x[0]`, `x[1]`. Of a
    class River is told its place: of its models many know 0 and 1 alone, and some go through sets of classes, whose
    order is that of their hashes.

    >>> class Phishing(RiverLearner):
    ...     inputs = {"x": "FP64 [-1, 9]"}
    ...     classes = (0, 1)
    ...
    ...     def model(self):
    ...         from river.linear_model import LogisticRegression
    ...         from river.preprocessing import StandardScaler
    ...
    ...         return StandardScaler() | LogisticRegression()
    """

    def model(self) -> Any:
        """A fresh model, or pipeline."""
        raise NotImplementedError(f"{type(self).__name__} has no model")

    def load(self, folder: Any) -> None:  # noqa: ARG002 - it begins with nothing
        self._model = suited(self.model(), self.classes, tuple(self.inputs))
        self._place = {one: place for place, one in enumerate(self.classes)}
        self._shown: list[tuple[list[Array], list[dict[str, Any]]]] = []

    def _rows(self, batch: dict[str, Array]) -> list[dict[str, Any]]:
        """The features of a batch: those that are predicted are learned next, and guards ask about the same again."""
        places = [*map(id, batch.values())]
        for number, (arrays, rows) in enumerate(self._shown):
            if [*map(id, arrays)] == places:  # they are held, so no other has their place
                self._shown.insert(0, self._shown.pop(number))
                return rows
        rows = list(features(batch))
        self._shown = [(list(batch.values()), rows), *self._shown[: SHOWN - 1]]
        return rows

    def predict(self, batch: dict[str, Array]) -> dict[str, Any]:
        rows = self._rows(batch)
        if not self.classes:
            return {"prediction": np.array([*map(self._model.predict_one, rows)], np.float64)}
        shares = np.array([*map(self._shares, self._told(rows))], np.float64).reshape(len(rows), len(self.classes))
        labels = np.array(self.classes, object if isinstance(self.classes[0], str) else np.int64)
        return {"label": labels[shares.argmax(axis=1)], "probabilities": shares}

    def _told(self, rows: list[dict[str, Any]]) -> list[dict[Any, float]]:
        """For each row the probability of each class, 1 for the one that is told by a model that knows no
        probabilities.
        """
        try:
            return [*map(self._model.predict_proba_one, rows)]
        except NotImplementedError:
            return [{self._model.predict_one(row): 1.0} for row in rows]

    def _shares(self, told: dict[Any, float]) -> list[float]:
        """The same, of all classes: none for what the model has not met; where it has met nothing, all are alike."""
        shares = [float(told.get(one, 0.0)) for one in self._place.values()]
        whole = sum(shares)
        if whole == 1.0:
            return shares
        return [one / whole for one in shares] if whole else [1.0 / len(shares)] * len(shares)

    @property
    def trained(self) -> Any:
        """The model as it is now."""
        return self._model

    def learn(self, batch: dict[str, Array], outcomes: Array) -> None:
        told = outcomes.tolist()
        if self._place:
            told = [self._place[one] for one in told]
        rows = self._rows(batch)
        del self._shown[0]  # they are not asked about again, and the next have their room
        for row, outcome in zip(rows, told, strict=True):
            self._model.learn_one(row, outcome)

    def state(self) -> Any:
        return self._model

    def take(self, state: Any) -> None:
        self._model = state


def features(batch: dict[str, Array]) -> Iterator[dict[str, Any]]:
    """The rows as River takes them.

    >>> list(features({"x": np.array([[1.0, 2.0]]), "city": np.array(["Oslo"], object)}))
    [{'x[0]': 1.0, 'x[1]': 2.0, 'city': 'Oslo'}]
    """
    names: list[str] = []
    parts: list[list[list[Any]]] = []
    for name, values in batch.items():
        flat = wide(values)
        names += [name] if values.ndim == 1 else _places(name, flat.shape[1])
        parts.append(flat.tolist())
    empty = dict.fromkeys(names)
    for numbers in parts[0] if len(parts) == 1 else map(chain.from_iterable, zip(*parts, strict=True)):
        row: dict[str, Any] = empty.copy()  # it has the room already, which makes filling it a third quicker
        row.update(zip(names, numbers, strict=True))
        yield row


@cache
def _places(name: str, count: int) -> list[str]:
    """The features of a column. They are the same texts each time: models find those in their tables at once."""
    return [f"{name}[{place}]" for place in range(count)]
