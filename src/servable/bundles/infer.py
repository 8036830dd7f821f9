"""The inputs of a contract, from a sample: names, datatypes, and which of them are text, dates or may be missing.

What was merely seen is not a limit: bounds and categories become hard ones only where the model itself refuses the rest
(`prove.py` finds that out).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.sample import Table, is_frame
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import UsageError
from servable.runtimes.features import MATRIX, is_missing
from servable.runtimes.frame import Columns

_NUMBERS: Final = "fiub"


def columns_of(table: Table) -> Columns | None:
    """Names and dtypes of a DataFrame, as the estimator saw them; None for a matrix. Raises UsageError for a column
    that cannot travel.
    """
    if not is_frame(table):
        return None
    dtypes, categories, none = [], {}, []
    for name in table.columns:
        series = table[name]
        dtype = str(series.dtype)
        if dtype == "category":
            categories[name] = tuple(_plain(value) for value in series.cat.categories)
        elif dtype == "object":
            _check_object(series)
            if any(value is None for value in series):
                none.append(name)
        elif dtype.startswith(("timedelta", "complex", "period", "interval", "Sparse")):
            raise UsageError(f"column {name!r} of the sample is {dtype}: make it numbers, text, a category or a date")
        dtypes.append(dtype)
    return Columns(tuple(table.columns), tuple(dtypes), categories, tuple(none))


def matrix_field(table: Table, datatype: str) -> Field | None:
    """One matrix for all columns, if all of them are numbers; None otherwise."""
    if not is_frame(table):
        return Field(MATRIX, datatype, (-1, table.shape[1]), values=_seen(np.isnan(table).any()))
    if not all(_is_number(series) for _, series in table.items()):
        return None
    names = tuple(table.columns)
    return Field(MATRIX, datatype, (-1, len(names)), names, values=_seen(table.isna().any(axis=None)))


def column_fields(table: Any, datatype: str) -> tuple[Field, ...]:
    """One input a column [rows, 1]. Floats take `datatype`; whole numbers, booleans, text and dates their own."""
    fields = []
    for name, series in table.items():
        values = _seen(series.isna().any())
        if str(series.dtype).startswith("datetime64"):
            fields.append(Field(name, "BYTES", (-1, 1), values=values, content="date"))
        elif not _is_number(series):
            fields.append(Field(name, "BYTES", (-1, 1), values=values))
        elif _kind(series) == "b" and values == "finite":
            fields.append(Field(name, "BOOL", (-1, 1)))
        elif _kind(series) in "iu" and values == "finite":
            fields.append(Field(name, "INT64", (-1, 1)))
        else:
            fields.append(Field(name, datatype, (-1, 1), values=values))
    return tuple(fields)


def with_names(signature: Signature, names: tuple[str, ...]) -> Signature:
    """The signature with the sample's column names on its one matrix, where the file has none and they are as many."""
    only = signature.inputs[0]
    if len(signature.inputs) > 1 or only.features or only.shape != (-1, len(names)) or len(names) == 1:
        return signature
    return msgspec.structs.replace(signature, inputs=(msgspec.structs.replace(only, features=names),))


def is_text(series: Any) -> bool:
    """Whether a column travels as text that is not a date."""
    return not _is_number(series) and not str(series.dtype).startswith("datetime64")


def _seen(missing: Any) -> Any:
    return "missing" if bool(missing) else "finite"


def _kind(series: Any) -> str:
    """Numpy's kind of a column: pandas' own nullable dtypes have one too."""
    return str(getattr(series.dtype, "kind", "O"))


def _is_number(series: Any) -> bool:
    return _kind(series) in _NUMBERS and str(series.dtype) != "category"


def _check_object(series: Any) -> None:
    """An object column must hold text (and missing values) only."""
    odd = next((value for value in series if not isinstance(value, str) and not is_missing(value)), None)
    if odd is not None:
        raise UsageError(
            f"column {series.name!r} of the sample holds {type(odd).__name__} values among objects, like {odd!r}: give "
            "it one dtype (numbers, bool, category, datetime64) or make it text"
        )


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
