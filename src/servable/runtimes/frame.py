"""The table an estimator was fitted on, made again from a Batch: a DataFrame with the same columns, order and dtypes.

`Columns` is what a manifest keeps of a DataFrame (`options.frame`). Text becomes categories, dates and strings as
they were in training; a missing value becomes what pandas holds for it there.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import CorruptModel, MissingExtra, ModelFailed
from servable.runtimes.features import category_text


class Columns(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Columns of a DataFrame: names and pandas dtypes in order, the categories of categorical ones, and the object
    columns whose missing values are None, not NaN.
    """

    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    categories: dict[str, tuple[str | int | float | bool, ...]] = {}
    none: tuple[str, ...] = ()


class FrameMaker:
    """Batch to DataFrame, for one signature."""

    def __init__(self, columns: Columns, signature: Signature) -> None:
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtra("sklearn", "run a model that takes a DataFrame", missing=error.name) from error
        self._pandas = pd
        self._columns = columns
        places = _places(signature)
        lacking = [name for name in columns.names if name not in places]
        if lacking:
            raise CorruptModel(f"no input of the signature holds the model's columns {', '.join(map(repr, lacking))}")
        self._places = [places[name] for name in columns.names]

    def frame(self, batch: Batch) -> Any:
        """The DataFrame. Raises ModelFailed for a value that its column cannot hold."""
        series = {}
        for name, dtype, (source, column) in zip(self._columns.names, self._columns.dtypes, self._places, strict=True):
            array = batch.columns[source]
            values = array[:, column] if array.ndim > 1 else array
            try:
                series[name] = self._series(name, dtype, values)
            except (ValueError, TypeError) as error:
                raise ModelFailed(f"column {name!r} cannot be made {dtype}: {error}") from error
        return self._pandas.DataFrame(series, index=self._pandas.RangeIndex(batch.rows))

    def _series(self, name: str, dtype: str, values: Array) -> Any:
        pandas = self._pandas
        if dtype == "category":
            known = {category_text(category): category for category in self._columns.categories[name]}
            found = [value if value is None else known.setdefault(value, value) for value in values.tolist()]
            return pandas.Categorical(found, categories=list(known.values()))  # a value never seen is no missing one
        if dtype.startswith("datetime64"):
            zoned = "," in dtype
            return pandas.Series(pandas.to_datetime(values, utc=zoned, format="ISO8601")).astype(dtype)
        if values.dtype != object:
            gap = values.dtype.kind == "f" and dtype.startswith(("int", "uint")) and np.isnan(values).any()
            return pandas.Series(values).astype("float64" if gap else dtype)  # as pandas itself holds such a column
        text = pandas.Series(values, dtype=object)
        if dtype == "object":
            return text if name in self._columns.none else text.where(text.notna(), np.nan)
        return text.astype(dtype)


def _places(signature: Signature) -> dict[str, tuple[str, int]]:
    """Where each column is: an input, and the column of it."""
    found: dict[str, tuple[str, int]] = {}
    for field in signature.inputs:
        found.update({name: (field.name, at) for at, name in enumerate(field.features)} or _own(field))
    return found


def _own(field: Field) -> dict[str, tuple[str, int]]:
    return {field.name: (field.name, 0)}
