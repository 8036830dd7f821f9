"""A sample as a message: a frame column by column with its dtypes, a matrix, or arrays by name. What comes out is what
went in, dtype for dtype: a contract is read from it.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.sample import is_frame
from servable.errors import UsageError

_RAW: Final = "fiub"
_NULL: Final = {"nan": float("nan"), "none": None}


class Values(msgspec.Struct, frozen=True):
    """One array or column. `raw` are the bytes of a numpy dtype; `each` the values of one that numpy does not have,
    with those missing named by `lacking`. Of a category: its codes as `raw`, and its categories.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    raw: bytes = b""
    each: list[Any] | None = None
    lacking: dict[int, str] = {}
    categories: Values | None = None
    ordered: bool = False


class Given(msgspec.Struct, frozen=True):
    """A table. `names`: of the columns of a frame; `frame`: whether it is one."""

    names: tuple[str, ...]
    parts: tuple[Values, ...]
    frame: bool


def given(table: Any) -> Given:
    """The table as a message. Raises UsageError for a column that cannot travel."""
    if is_frame(table):
        columns = [table.iloc[:, place] for place in range(table.shape[1])]
        return Given(tuple(map(str, table.columns)), tuple(map(_column, columns)), frame=True)
    if isinstance(table, dict):
        return Given(tuple(table), tuple(_array(np.asarray(array)) for array in table.values()), frame=False)
    return Given((), (_array(np.asarray(table)),), frame=False)


def taken(message: Given) -> Any:
    """The message as a table."""
    if message.frame:
        import pandas as pd

        columns = [_series(values) for values in message.parts]
        return pd.concat(columns, axis=1, keys=message.names) if columns else pd.DataFrame()
    arrays = [_numpy(values) for values in message.parts]
    return dict(zip(message.names, arrays, strict=True)) if message.names else arrays[0]


def _array(array: Any) -> Values:
    if array.dtype.kind in _RAW:
        return Values(array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())
    if array.dtype.kind in "US":
        return Values(array.dtype.str, array.shape, each=array.ravel().tolist())
    return Values("object", array.shape, each=[_text(value) for value in array.ravel().tolist()])


def _numpy(values: Values) -> Any:
    if values.each is None:
        return np.frombuffer(bytearray(values.raw), np.dtype(values.dtype)).reshape(values.shape)
    array = np.empty(len(values.each), object)
    array[:] = values.each
    return array.reshape(values.shape).astype(values.dtype)


def _column(series: Any) -> Values:
    dtype = str(series.dtype)
    if dtype == "category":
        codes = series.cat.codes.to_numpy("int64")
        categories = _column(series.cat.categories.to_series())
        return Values(dtype, raw=codes.tobytes(), categories=categories, ordered=bool(series.cat.ordered))
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in _RAW:
        return Values(series.dtype.str, raw=series.to_numpy().tobytes())
    if dtype.startswith("datetime64"):
        return Values(dtype, raw=series.to_numpy(f"datetime64[{series.dt.unit}]").astype("int64").tobytes())
    each, lacking = [], {}
    for place, value in enumerate(series.tolist()):
        if missing := _missing(value):
            lacking[place] = missing
        elif not isinstance(value, (str, int, float)):
            kind = type(value).__name__
            raise UsageError(f"column {series.name!r} of the sample holds {kind} values, like {value!r}")
        each.append(None if missing else value)
    return Values(dtype, each=each, lacking=lacking)


def _series(values: Values) -> Any:
    import pandas as pd

    if values.categories is not None:
        codes = np.frombuffer(values.raw, "int64")
        kinds = pd.Index(_series(values.categories))
        return pd.Series(pd.Categorical.from_codes(codes, kinds, ordered=values.ordered))
    if values.dtype.startswith("datetime64"):
        unit, _, zone = values.dtype.removeprefix("datetime64[").removesuffix("]").partition(", ")
        naive = pd.Series(np.frombuffer(values.raw, "int64").view(f"datetime64[{unit}]"))
        return naive.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else naive
    if values.each is None:
        return pd.Series(np.frombuffer(bytearray(values.raw), np.dtype(values.dtype)))
    array = np.empty(len(values.each), object)
    array[:] = values.each
    for place, kind in values.lacking.items():
        array[place] = _NULL.get(kind, pd.NA)
    return pd.Series(array, dtype=values.dtype)


def _missing(value: Any) -> str:
    """Which of the words for a missing value it is; empty: none."""
    import pandas as pd

    if value is None:
        return "none"
    if value is pd.NA or value is pd.NaT:
        return "na"
    return "nan" if isinstance(value, float) and math.isnan(value) else ""


def _text(value: Any) -> Any:
    if value is None or isinstance(value, (str, bytes)):
        return value
    raise UsageError(
        f"an array of the sample holds {type(value).__name__} values, like {value!r}: give numbers or text"
    )
