"""Signature: the contract of a model. The one judge of shape for every door, job, edge export and test."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS, datatype_of
from servable.domain.field import Fault, Field, all_finite


class Signature(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, dict=True):
    """Inputs and outputs by name. `batched` says whether axis 0 is rows that may be joined with other callers' rows.

    >>> signature = Signature((Field("x", "FP32", (-1, 2)),), (Field("y", "INT64"),))
    >>> [str(fault) for fault in signature.check(Batch({"x": np.zeros((1, 3), np.float32), "z": np.zeros(1)}))]
    ["'z': expected no such input (inputs are 'x'), got FP64 [1]", "'x': expected shape [-1, 2], got shape [1, 3]"]
    """

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    batched: bool = True

    def __post_init__(self) -> None:
        for kind, fields in (("input", self.inputs), ("output", self.outputs)):
            names = [field.name for field in fields]
            if len(set(names)) != len(names):
                raise ValueError(f"two {kind}s have the same name: {names}")
        if self.batched:
            for field in (*self.inputs, *self.outputs):
                if not field.shape or field.shape[0] != -1:
                    raise ValueError(
                        f"field {field.name!r}: in a batched signature the first axis is the rows (-1), "
                        f"but the shape is {list(field.shape)}"
                    )

    @cached_property
    def named(self) -> Mapping[str, Field]:
        """The inputs by their names."""
        return {field.name: field for field in self.inputs}

    def input(self, name: str) -> Field | None:
        """The input of this name, if there is one."""
        return self.named.get(name)

    def output(self, name: str) -> Field | None:
        """The output of this name, if there is one."""
        return next((field for field in self.outputs if field.name == name), None)

    @property
    def target(self) -> Field | None:
        """The input by which a caller may tell what a learner is to learn, if there is one."""
        return next((field for field in self.inputs if field.content == "target"), None)

    def complete(self, batch: Batch) -> Batch:
        """The batch with absent inputs filled as missing, where their fields allow it."""
        absent = [f for f in self.inputs if f.values == "missing" and f.name not in batch.columns]
        if not absent or not self.batched:
            return batch
        filled = {field.name: missing(field, batch.rows) for field in absent}
        return Batch({**batch.columns, **filled}, batch.rows, batch.parameters)

    def check(self, batch: Batch) -> list[Fault]:
        """Every fault of the inputs in `batch`, at once. Empty: it is good."""
        return [] if _sound(self._inputs, batch) else check(self.inputs, batch, "input", batched=self.batched)

    def check_outputs(self, batch: Batch) -> list[Fault]:
        """The same for the answer of a model."""
        return [] if _sound(self._outputs, batch) else check(self.outputs, batch, "output", batched=self.batched)

    @cached_property
    def _inputs(self) -> tuple[_Quick, ...]:
        return tuple(_quick(field, batched=self.batched) for field in self.inputs)

    @cached_property
    def _outputs(self) -> tuple[_Quick, ...]:
        return tuple(_quick(field, batched=self.batched) for field in self.outputs)

    def example(self, rows: int = 1) -> Batch:
        """The plainest batch that passes `check`: zeros, empty strings, first categories, lower bounds."""
        return Batch({field.name: _example(field, rows if self.batched else None) for field in self.inputs}, rows)


def check(fields: tuple[Field, ...], batch: Batch, kind: str, *, batched: bool) -> list[Fault]:
    """Every fault of `batch` against `fields`; `kind` is the word for one of them in the messages."""
    names = ", ".join(repr(field.name) for field in fields)
    known = {field.name for field in fields}
    faults = [
        Fault(name, f"no such {kind} ({kind}s are {names})", f"{datatype_of(array.dtype)} {list(array.shape)}")
        for name, array in batch.columns.items()
        if name not in known
    ]
    lengths: dict[str, int] = {}
    for field in fields:
        array = batch.columns.get(field.name)
        if array is None:
            faults.append(Fault(field.name, field.describe(), "nothing"))
            continue
        faults.extend(field.faults(array))
        if batched and array.ndim:
            lengths[field.name] = len(array)
    if len(set(lengths.values())) > 1:
        faults.append(Fault("rows", f"the same number of rows in every {kind}", str(lengths)))
    return faults


class _Quick(NamedTuple):
    """What a quick look needs of a field. `tail` is its shape past the rows where all of that is said and the rest is
    any number, at most finite; None: the field judges. `finite`: the values are looked at.
    """

    name: str
    dtype: np.dtype[Any]
    tail: tuple[int, ...] | None
    finite: bool
    field: Field
    batched: bool


def _quick(field: Field, *, batched: bool) -> _Quick:
    plain = field.datatype in FLOATS and field.low is None and field.high is None and not field.categories
    tail = field.shape[1:] if batched and plain and -1 not in field.shape[1:] else None
    return _Quick(field.name, field.dtype, tail, field.values != "any", field, batched)


def _sound(fields: tuple[_Quick, ...], batch: Batch) -> bool:
    """Whether a quick look shows that there is no fault: all numbers together, not column by column. False proves
    nothing.
    """
    columns, rows = batch.columns, batch.rows
    if len(columns) != len(fields):
        return False
    numbers = []
    for name, dtype, tail, finite, field, batched in fields:
        array = columns.get(name)
        if array is None:
            return False
        shape = array.shape
        if batched and shape and shape[0] != rows:
            return False
        if tail is None:
            if next(field.faults(array), None) is not None:
                return False
        elif array.dtype != dtype or shape[1:] != tail or not shape:
            return False
        elif finite:
            numbers.append(array)
    if not numbers:
        return True
    return all_finite(numbers[0] if len(numbers) == 1 else np.concatenate(numbers, axis=None))


def missing(field: Field, rows: int) -> Array:
    """`rows` rows of missing values for a field: NaN, or None for text."""
    shape = (rows, *(max(size, 1) for size in field.shape[1:]))
    if field.datatype in FLOATS:
        return np.full(shape, np.nan, field.dtype)
    if field.datatype == "BYTES":
        return np.full(shape, None, object)
    raise ValueError(f"field {field.name!r}: {field.datatype} cannot hold a missing value")


def _example(field: Field, rows: int | None) -> Array:
    shape = tuple(1 if size == -1 else size for size in field.shape)
    if rows is not None:
        shape = (rows, *shape[1:])
    if field.datatype == "BYTES":
        text = field.categories[0] if field.categories else ("2026-01-31" if field.content == "date" else "text")
        return np.full(shape, str(text), object)
    value: float | str | int = 0
    if field.categories:
        value = field.categories[0]
    elif field.low is not None and field.low > 0:
        value = field.low
    elif field.high is not None and field.high < 0:
        value = field.high
    return np.full(shape, value, field.dtype)
