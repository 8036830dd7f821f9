"""Answer: what a model's outputs say, in the words of statistics: classes with probabilities, or a number.

Outputs have other names in every format; what they are is told by their shape, datatype and labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS, INTEGERS
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import UsageError
from servable.runtimes.features import category_text

LABEL: Final = "label"
SUM: Final = 1e-3
"""Probabilities of a row add up to 1 within this."""
HALF: Final = 0.5
MATRIX: Final = 2


class Answer(NamedTuple):
    """One value a row. Either `chosen` (codes of `classes`) with `scores` (a column a class) or without, or `numbers`.

    `calibrated` says whether the scores are probabilities.
    """

    classes: tuple[str, ...] = ()
    chosen: Array | None = None
    scores: Array | None = None
    calibrated: bool = False
    numbers: Array | None = None

    def of(self, rows: Array) -> Answer:
        """Of some rows."""
        some = (None if each is None else each[rows] for each in (self.chosen, self.scores, self.numbers))
        chosen, scores, numbers = some
        return Answer(self.classes, chosen, scores, self.calibrated, numbers)

    def strength(self, of: str = "") -> Array:
        """One number a row that says how far it leans: the number, or the score of a class (of the last, if none is
        named), or 1 where it is chosen.
        """
        if self.numbers is not None:
            return self.numbers
        code = self.code(of)
        return self.scores[:, code] if self.scores is not None else np.asarray(self.chosen == code, float)

    def code(self, of: str = "") -> int:
        """The code of a class; of none the last one, which of two is the positive. Raises UsageError."""
        if not of:
            return len(self.classes) - 1
        if of not in self.classes:
            raise UsageError(f"there is no class {of!r}: {named(self.classes)}")
        return self.classes.index(of)


def read_answer(outputs: Batch, signature: Signature, labels: Mapping[str, Sequence[str]]) -> Answer:
    """What the outputs say. Raises UsageError for a model whose answer is neither a class nor a number."""
    known = {field.name: _names(field, labels) for field in signature.outputs}
    wide = [field for field in signature.outputs if _axes(outputs[field.name]) == MATRIX and field.datatype in FLOATS]
    plain = [field for field in signature.outputs if _axes(outputs[field.name]) == 1]
    scored = next((field for field in wide if known[field.name]), wide[0] if len(wide) == 1 else None)
    said = [field for field in plain if field.datatype in {"BYTES", "BOOL"} | INTEGERS]
    label = next((field for field in said if field.name == LABEL), said[0] if len(said) == 1 else None)
    if scored is not None:
        scores = outputs[scored.name].astype(np.float64).reshape(outputs.rows, -1)
        classes = known[scored.name] or tuple(map(str, range(scores.shape[1])))
        chosen = scores.argmax(axis=1) if label is None else codes_of(outputs[label.name].ravel(), classes)
        even = scores.min(initial=0.0) >= 0 and bool(np.all(np.abs(scores.sum(axis=1) - 1) < SUM))
        return Answer(classes, chosen, scores, even)
    numbers = [field for field in plain if field.datatype in FLOATS]
    if label is not None and not numbers:
        texts = texts_of(outputs[label.name].ravel())
        classes = known[label.name] or tuple(sorted(set(texts)))
        return Answer(classes, codes_of(texts, classes))
    if len(numbers) == 1:
        return Answer(numbers=outputs[numbers[0].name].astype(np.float64).ravel())
    told = ", ".join(f"{field.name} {field.describe()}" for field in signature.outputs)
    raise UsageError(
        f"the model answers with {told}: expected a class, probabilities of classes, or one number a row, "
        "which is what metrics are of"
    )


def as_classes(answer: Answer, truth: Sequence[str]) -> Answer:
    """The answer to a question of classes: a single number between 0 and 1 is the probability of the last of two."""
    if answer.numbers is None:
        return answer
    if len(truth) > 2 or not np.all((answer.numbers >= 0) & (answer.numbers <= 1)):
        raise UsageError(
            "the label is a class, and the model answers with a number that is no probability: give a label that is a "
            "number, or a model that answers with classes"
        )
    classes = (truth[0] if len(truth) > 1 else "", truth[-1])
    scores = np.column_stack([1 - answer.numbers, answer.numbers])
    return Answer(classes, (answer.numbers >= HALF).astype(int), scores, calibrated=True)


def texts_of(values: Any) -> list[str]:
    """Classes as text, however they are stored: 1, 1.0 and "1" are one class, and so are True and "True"."""
    known: dict[Any, str] = {}
    plain = np.asarray(values).tolist()
    for value in plain:
        if value not in known:
            known[value] = value.decode() if isinstance(value, bytes) else category_text(value)
    return [known[value] for value in plain]


def codes_of(values: Any, classes: Sequence[str]) -> Array:
    """The place of each value among the classes; those that are none of them come after the last."""
    places = {name: at for at, name in enumerate(classes)}
    return np.array([places.get(text, len(classes)) for text in texts_of(values)], np.int64)


def named(classes: Sequence[str]) -> str:
    """The first of them, as an error tells them."""
    return f"there are {', '.join(map(repr, classes[:20]))}{', …' if len(classes) > 20 else ''}"


def _names(field: Field, labels: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(labels.get(field.name, ())) or field.features


def _axes(array: Array) -> int:
    """1 for one value a row."""
    return 1 if array.ndim == 1 or array[:1].size == 1 else array.ndim
