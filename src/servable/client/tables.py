"""Tables: what a caller hands over, as arrays by input name, and answers as the table that they are of. No network.

The contract itself is judged by the server; here is only what it takes to write a table down as tensors.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from servable.domain.batch import Array
from servable.domain.datatypes import DTYPES, FLOATS
from servable.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

MATRIX: Final = 2
"""Axes of an output that is as many columns as its last one is long."""


def arrays_of(data: Any, metadata: Mapping[str, Any]) -> dict[str, Array]:
    """Arrays by input name: of a DataFrame, a list of rows (`{column: value}`), arrays by input name, or the one matrix
    of a model with one input.

    Columns are found by name; a matrix input whose features are named takes one column a feature. A column that may be
    missing may be absent. Raises InvalidInput for what the model has no place for.
    """
    if hasattr(data, "columns"):
        return _of_frame(data, metadata)
    if isinstance(data, Mapping):
        return _of_mapping(data, metadata)
    if isinstance(data, (list, tuple)) and data and all(isinstance(row, Mapping) for row in data):
        import pandas as pd

        return _of_frame(pd.DataFrame(list(data)), metadata)
    if isinstance(data, (list, tuple, np.ndarray)) and len(metadata["inputs"]) == 1:
        return _of_mapping({metadata["inputs"][0]["name"]: data}, metadata)
    names = ", ".join(repr(field["name"]) for field in metadata["inputs"])
    raise InvalidInput(
        f"expected a DataFrame, a list of rows {{column: value}}, or arrays by input name ({names}), "
        f"got {type(data).__name__}"
    )


def frame_of(outputs: Mapping[str, Array], index: Any, metadata: Mapping[str, Any]) -> pd.DataFrame:
    """Outputs as a DataFrame with the rows' own index, the same that a model loaded here gives: a column an output, or
    one for each of its numbers (`probabilities_yes`, or by position). The answer's parameters are in its `attrs`.
    """
    import pandas as pd

    named = {field["name"]: field.get("features") for field in metadata["outputs"]}
    columns: dict[str, Any] = {}
    for name, array in outputs.items():
        if array.ndim == 1 or array.shape[1:] == (1,):
            columns[name] = array.reshape(len(array))
        elif array.ndim == MATRIX:
            parts = named.get(name) or range(array.shape[1])
            columns |= {f"{name}_{part}": array[:, at] for at, part in enumerate(parts)}
        else:
            columns[name] = list(array)
    frame = pd.DataFrame(columns, index=index)
    frame.attrs.update(getattr(outputs, "parameters", {}))
    return frame


def _of_mapping(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Array]:
    known = {field["name"]: field for field in metadata["inputs"]}
    arrays = {}
    for name, values in data.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InvalidInput(f"the model has no input {name!r}: {hint}It takes {', '.join(map(repr, known))}")
        arrays[name] = _array(values, known[name], str(name))
    return arrays


def _of_frame(frame: pd.DataFrame, metadata: Mapping[str, Any]) -> dict[str, Array]:
    inputs = metadata["inputs"]
    known = [name for field in inputs for name in field.get("features") or [field["name"]]]
    first = inputs[0]
    unnamed = len(inputs) == 1 and not first.get("features") and first["name"] not in frame.columns
    if unnamed and frame.shape[1] == first["shape"][-1]:
        # One matrix without named features: nothing to go by but the order of the columns.
        return {first["name"]: _array(frame.to_numpy(), first, first["name"])}
    _judge_columns(frame, inputs, known)
    arrays = {}
    for field in inputs:
        names = field.get("features") or [field["name"]]
        if not all(name in frame.columns for name in names):
            parts = [
                _array(frame[one].to_numpy(), field, one) if one in frame else _missing(frame, field) for one in names
            ]
            matrix = np.column_stack([part.reshape(len(frame), 1) for part in parts])
            arrays[field["name"]] = matrix if len(field["shape"]) > 1 else matrix[:, 0]
        elif field.get("features"):
            arrays[field["name"]] = _array(frame[names].to_numpy(), field, field["name"])
        else:
            array = _array(frame[names[0]].to_numpy(), field, names[0])
            arrays[field["name"]] = array.reshape(-1, 1) if array.ndim == 1 and len(field["shape"]) > 1 else array
    return arrays


def _judge_columns(frame: pd.DataFrame, inputs: Any, known: list[str]) -> None:
    """Raises InvalidInput for a column that must be there, and for one that is twice in it. Where one that may be
    missing is absent, a column that the model does not have may be its wrong spelling, and is refused as well.
    """
    if not frame.columns.is_unique:
        twice = [name for name in frame.columns[frame.columns.duplicated()] if name in known]
        if twice:
            raise InvalidInput(f"the frame has the column {twice[0]!r} more than once")
    absent = [name for name in known if name not in frame.columns]
    may_lack = {
        name
        for field in inputs
        if field.get("values") == "missing"
        for name in field.get("features") or [field["name"]]
    }
    strange = [str(name) for name in frame.columns if name not in {*known}]
    lacking = [name for name in absent if name not in may_lack] or (absent if strange else [])
    if lacking:
        near = difflib.get_close_matches(lacking[0], strange, 1)
        hint = f" (is {near[0]!r} meant for it?)" if near else ""
        few = ", ".join(repr(name) for name in list(frame.columns[:20]))
        raise InvalidInput(f"the frame lacks the column {lacking[0]!r}{hint}: it has {few}")


def _missing(frame: pd.DataFrame, field: Mapping[str, Any]) -> Array:
    return np.full(len(frame), None if field["datatype"] == "BYTES" else np.nan, DTYPES[field["datatype"]])


def _array(values: Any, field: Mapping[str, Any], name: str) -> Array:
    """The values in the datatype that the model takes, if nothing is lost. A flat list fits a column [rows, 1], and
    cells that are lists fit an input of several numbers a row.
    """
    datatype = field["datatype"]
    wanted = DTYPES[datatype]
    array = _even(values, name, object if datatype == "BYTES" else None)
    if array.ndim == 1 and field["shape"] == [-1, 1]:
        array = array.reshape(-1, 1)
    if datatype == "BYTES":
        return np.asarray(np.frompyfunc(_text, 1, 1)(array), object)
    if array.dtype == object:
        array = _plain(array, datatype)
    if array.dtype.kind not in "biuf" or (wanted.kind in "iu" and array.dtype.kind == "f" and (array % 1 != 0).any()):
        raise InvalidInput(f"input {name!r}: expected numbers for {datatype}, got {array.dtype}")
    converted = array.astype(wanted)
    if wanted.kind in "iub" and not np.array_equal(converted, array):
        wrong = array[converted != array].ravel()[0]
        raise InvalidInput(f"input {name!r}: expected numbers that fit {datatype}, got {wrong}")
    return converted


def _even(values: Any, name: str, dtype: Any) -> Array:
    try:
        array = np.asarray(values, dtype)
        if array.dtype == object and array.ndim == 1 and len(array) and np.ndim(array[0]):
            array = np.array(array.tolist(), dtype)
    except ValueError as error:
        lengths = sorted({np.shape(cell) for cell in values})
        told = ", ".join(str(list(length)) for length in lengths[:5])
        raise InvalidInput(f"input {name!r}: expected as many values in every row, got rows of {told}") from error
    return array


def _plain(array: Array, datatype: str) -> Array:
    """Objects as numbers, as far as they are: None and NA are NaN, where the datatype has one."""
    try:
        if datatype in FLOATS:
            one = np.frompyfunc(lambda value: np.nan if _absent(value) else value, 1, 1)
            return np.asarray(one(array), np.float64)
        plain = np.asarray(array.tolist())
    except (TypeError, ValueError):
        return array
    return plain if plain.shape == array.shape else array


def _absent(value: Any) -> bool:
    """None, NaN, NaT and NA, of whatever library: what is not equal to itself."""
    if value is None:
        return True
    same = value == value  # noqa: PLR0124 - see above
    return type(same).__name__ == "NAType" or (isinstance(same, (bool, np.bool_)) and not same)


def _text(value: Any) -> Any:
    """Text as it is; a whole number without its `.0` (pandas makes floats of whole numbers with gaps); dates as ISO."""
    if _absent(value):
        return None
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
