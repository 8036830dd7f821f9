"""Columns: the arrays inside a Batch by the names that people know them by, and what they hold as numbers.

A field that names its features is as many columns; one value a row is one column of the field's name; a matrix without
names is `field[0]`, `field[1]`, ... Images and other arrays of more axes have no columns. Profiles, rules, probes and
drift tests all look at data this way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field

MATRIX: Final = 2
"""Axes of an array that has columns."""


def column_names(field: Field) -> tuple[str, ...]:
    """The columns of a field; none where it has more axes, or a last one of any size.

    >>> column_names(Field("input", "FP32", (-1, 2), ("age", "income"))), column_names(Field("text", "BYTES", (-1, 1)))
    (('age', 'income'), ('text',))
    """
    if field.features and len(field.shape) == MATRIX:
        return field.features
    if field.shape in {(-1,), (-1, 1)}:
        return (field.name,)
    if len(field.shape) == MATRIX and field.shape[1] != -1:
        return tuple(f"{field.name}[{at}]" for at in range(field.shape[1]))
    return ()


def columns(batch: Batch, fields: Iterable[Field]) -> dict[str, Array]:
    """Every column of the fields that are in the batch: views, one value a row.

    >>> field = Field("input", "FP32", (-1, 2), ("age", "income"))
    >>> columns(Batch({"input": np.array([[31, 2.5], [44, 3.0]], np.float32)}), [field])["age"].tolist()
    [31.0, 44.0]
    """
    found = {}
    for field in fields:
        names = column_names(field)
        if names and field.name in batch:
            matrix = batch[field.name].reshape(batch.rows, len(names))
            found.update({name: matrix[:, at] for at, name in enumerate(names)})
    return found


def with_column(batch: Batch, fields: Iterable[Field], name: str, values: Array) -> Batch:
    """The batch with other values in one column; nothing else is copied. Raises KeyError.

    >>> field = Field("input", "FP32", (-1, 2), ("age", "income"))
    >>> batch = Batch({"input": np.array([[31, 2.5]], np.float32)})
    >>> with_column(batch, [field], "age", np.array([60]))["input"].tolist()
    [[60.0, 2.5]]
    """
    for field in fields:
        names = column_names(field)
        if name in names and field.name in batch:
            changed = batch[field.name].copy()
            changed.reshape(batch.rows, len(names))[:, names.index(name)] = values
            return Batch({**batch.columns, field.name: changed}, batch.rows, batch.parameters)
    raise KeyError(name)


def numbers(array: Array, field: Field) -> Array:
    """Values as float64, NaN where there is none: dates as seconds since 1970, texts by their length."""
    if field.datatype != "BYTES":
        return array.astype(np.float64)
    one = _seconds if field.content == "date" else _length
    return np.asarray([one(value) for value in array.ravel()], np.float64).reshape(array.shape)


def _seconds(value: object) -> float:
    try:
        seconds = np.datetime64(str(value).removesuffix("Z"), "us").astype(np.int64) / 1e6
    except ValueError:
        return np.nan
    return np.nan if value is None else float(seconds)


def _length(value: object) -> float:
    return np.nan if value is None else float(len(value)) if isinstance(value, (str, bytes)) else np.nan
