"""What rules add to a contract: intervals and sets beside an answer, and fixed answers in its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.columns import column_names
from servable.domain.datatypes import FLOATS
from servable.domain.field import Field
from servable.domain.rule import Rule
from servable.domain.signature import Signature
from servable.rules.conformal import FittedInterval, intervals, sets


class Around(msgspec.Struct, frozen=True):
    """The interval, or the set of classes, that goes with an output: its own field, and how it was fitted."""

    output: Field
    field: Field
    fitted: FittedInterval
    coverage: float

    @property
    def of_classes(self) -> bool:
        return self.field.datatype == "BOOL"

    def of(self, answer: Batch) -> Array:
        """For each row of an answer."""
        values = answer[self.output.name]
        if self.of_classes:
            return sets(self.fitted, values, self.coverage)
        return intervals(self.fitted, values.reshape(len(values)), self.coverage).astype(self.field.dtype)


def field_around(output: Field) -> Field:
    """The field of an output's interval (one number a row) or set (a probability for each class). Raises ValueError."""
    if output.datatype in FLOATS and output.shape in {(-1,), (-1, 1)}:
        return Field(f"{output.name}_interval", output.datatype, (-1, 2), ("low", "high"), values="missing")
    if output.datatype in FLOATS and len(output.shape) == 2 and output.shape[1] > 1:
        return Field(f"{output.name}_set", "BOOL", output.shape, output.features)
    raise ValueError(
        "an interval stands around one number a row, a set around a probability for each class: "
        f"output {output.name!r} is {output.describe()}"
    )


def contract(signature: Signature, rules: Iterable[Rule], around: Iterable[Around]) -> Signature:
    """The signature as callers see it: with intervals and sets, and taking missing values where rules deal with them.

    A field takes them where each of its columns has a rule that keeps them from the model.
    """
    dealt = {rule.column for rule in rules if rule.present and rule.action != "flag"}
    inputs = tuple(
        msgspec.structs.replace(field, values="missing")
        if field.values == "finite" and field.datatype in FLOATS | {"BYTES"} and _covered(field, dealt)
        else field
        for field in signature.inputs
    )
    outputs = (*signature.outputs, *(each.field for each in around))
    return Signature(inputs, outputs, signature.batched)


def _covered(field: Field, dealt: set[str]) -> bool:
    names = column_names(field)
    return bool(names) and dealt.issuperset(names)


def fixed(answer: Mapping[str, Any], signature: Signature) -> dict[str, Array]:
    """One row of each output from a rule's values: number, text, list, or values by feature. Raises ValueError."""
    unknown = [name for name in answer if signature.output(name) is None]
    names = ", ".join(repr(field.name) for field in signature.outputs)
    if unknown:
        raise ValueError(f"'answer' holds {unknown[0]!r}, the outputs are {names}")
    found = {}
    for field in signature.outputs:
        if field.name not in answer:
            raise ValueError(f"'answer' lacks a value for the output {field.name!r}: expected one for each of {names}")
        found[field.name] = _row(answer[field.name], field)
    return found


def _row(value: Any, field: Field) -> Array:
    if isinstance(value, Mapping):
        if sorted(value) != sorted(field.features):
            raise ValueError(f"'answer' for {field.name!r}: expected values for {', '.join(field.features) or 'none'}")
        value = [value[feature] for feature in field.features]
    array = np.asarray(value)
    good = {"f": "fiu", "i": "iu", "u": "iu", "b": "b", "O": "U"}[field.dtype.kind]
    if array.dtype.kind not in good:
        raise ValueError(f"'answer' for {field.name!r}: expected {field.datatype}, got {value!r:.80}")
    shape = tuple(size if size != -1 else 1 for size in field.shape[1:])
    if array.ndim and len(array.shape) == len(shape):
        shape = array.shape
    try:
        return np.broadcast_to(array.astype(field.dtype), shape)
    except ValueError as error:
        raise ValueError(
            f"'answer' for {field.name!r}: expected {field.describe()}, got shape {array.shape}"
        ) from error
