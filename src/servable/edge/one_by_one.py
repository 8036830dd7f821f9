"""A model that is asked row by row: where rows of one call share a scale, each would move the others' answers."""

from __future__ import annotations

from servable.domain.batch import Batch
from servable.domain.model import Model


class OneByOne:
    """Such a model around another."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.concurrent = model.concurrent

    def predict(self, batch: Batch) -> Batch:
        if batch.rows < 2:
            return self._model.predict(batch)
        return Batch.join([self._model.predict(batch.slice(row, row + 1)) for row in range(batch.rows)])

    def close(self) -> None:
        self._model.close()
