"""Labels: the classes of a classifier that learns, and outcomes as their places among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from servable.domain.batch import Array
from servable.domain.field import Field
from servable.errors import InvalidInput, UsageError

SHOWN = 20


class Labels:
    """The classes, declared once: all texts, or all whole numbers.

    >>> Labels(["no", "yes"]).places(np.array(["yes", "no", "yes"], object)).tolist()
    [1, 0, 1]
    """

    def __init__(self, classes: Sequence[Any]) -> None:
        kinds = {type(one) for one in classes}
        if len(classes) < 2 or len(set(classes)) != len(classes) or kinds not in ({str}, {int}):
            raise UsageError(
                f"classes: expected two or more different texts, or whole numbers, got {list(classes)!r:.200}"
            )
        self.classes = tuple(classes)
        self.text = kinds == {str}
        self._place = {one: place for place, one in enumerate(classes)}

    def places(self, outcomes: Array) -> Array:
        """The place of each outcome. Raises InvalidInput that names every one that is no class."""
        try:
            return np.array([*map(self._place.__getitem__, outcomes.tolist())], np.intp)
        except (KeyError, TypeError):  # at least one is not what it should be
            return self._found(outcomes)

    def _found(self, outcomes: Array) -> Array:
        """The same, with whatever stands for a class."""
        told = [one.item() if isinstance(one, np.generic) else one for one in outcomes.tolist()]
        if not self.text:
            told = [int(one) if isinstance(one, (bool, float)) and one % 1 == 0 else one for one in told]
        wrong = [f"outcome of row {row}: {one!r}" for row, one in enumerate(told) if one not in self._place]
        if wrong:
            known = ", ".join(map(repr, self.classes[:SHOWN])) + (", …" if len(self.classes) > SHOWN else "")
            raise InvalidInput(f"outcomes that are no class: expected one of {known}", faults=wrong[:SHOWN])
        return np.array([self._place[one] for one in told], np.intp)

    def fields(self) -> tuple[Field, Field]:
        """The outputs of a classifier: its label, and the probability of each class in their order."""
        kind = "BYTES" if self.text else "INT64"
        return Field("label", kind), Field("probabilities", "FP64", (-1, len(self.classes)))

    def columns(self, probabilities: Array) -> dict[str, Array]:
        """Both outputs for rows of probabilities."""
        kind = object if self.text else np.int64
        labels = np.array(self.classes, kind)[probabilities.argmax(axis=1)]
        return {"label": labels, "probabilities": probabilities}
