"""Tables to batches, by a signature, and answers back to tables. Columns are found by name, never by position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from servable.bundles.sample import Table, is_frame
from servable.domain.batch import Array, Batch
from servable.domain.field import Fault, Field
from servable.domain.signature import Signature
from servable.errors import InvalidInput, UsageError
from servable.runtimes.features import category_text

NAMED: Final = 20
"""A fault names at most this many columns."""


def to_batch(table: Table, signature: Signature) -> Batch:
    """The inputs of the signature from a DataFrame's columns, the matrix of a model with one input, or arrays by input
    name. Raises InvalidInput with every fault.

    A column that is absent is missing, where its field allows that; one that the model does not have is a fault.
    """
    if isinstance(table, Mapping):
        return _from_arrays(table, signature)
    if not is_frame(table):
        return _from_matrix(table, signature)
    columns: dict[str, Array] = {}
    faults: list[Fault] = []
    known = {name for field in signature.inputs for name in field.features or (field.name,)}
    strange = [str(name) for name in table.columns if name not in known]
    if strange:
        some = ", ".join(sorted(known)[:NAMED]) + (", …" if len(known) > NAMED else "")
        faults.append(Fault(strange[0], f"a column of the model ({some})", "an unknown column"))
        faults += [Fault(name, "a column of the model", "an unknown column") for name in strange[1:NAMED]]
    for field in signature.inputs:
        names = field.features or (field.name,)
        if lacking := [name for name in names if name not in table.columns]:
            if field.values != "missing" or (field.features and len(lacking) == len(names)):
                faults.append(Fault(field.name, f"columns {', '.join(map(repr, lacking))}", "no such columns"))
            if not field.features:
                continue
        try:
            arrays = [column(table[name], field) if name in table.columns else _absent(table, field) for name in names]
        except (ValueError, TypeError) as error:
            faults.append(Fault(field.name, field.describe(), str(error)))
            continue
        if field.features:
            columns[field.name] = np.column_stack(arrays) if arrays else np.empty((len(table), 0), field.dtype)
        else:
            columns[field.name] = arrays[0].reshape(len(table), *(1 for _ in field.shape[1:]))
    if faults:
        raise InvalidInput(
            f"the table breaks the contract: {'; '.join(map(str, faults))}", faults=list(map(str, faults))
        )
    return Batch(columns, len(table))


def _from_matrix(matrix: Any, signature: Signature) -> Batch:
    first = signature.inputs[0]
    try:
        array = np.asarray(matrix, first.dtype)
    except (ValueError, TypeError) as error:
        array = np.empty((), first.dtype)
        came = f"{type(matrix).__name__} ({error})"
    else:
        came = type(matrix).__name__
    if array.ndim == 0 or len(signature.inputs) > 1:
        names = ", ".join(repr(field.name) for field in signature.inputs)
        raise InvalidInput(
            f"expected a DataFrame, a list of rows {{column: value}}, or arrays by input name ({names}), got {came}"
        )
    return Batch(
        {first.name: array.reshape(-1, 1) if array.ndim == 1 and first.shape == (-1, 1) else array}, len(array)
    )


def _from_arrays(arrays: Mapping[str, Array], signature: Signature) -> Batch:
    """Arrays by the names of inputs. One value without axes may be an argument that was fixed at packing."""
    known = {field.name: field for field in signature.inputs}
    if strange := [name for name, array in arrays.items() if name not in known and array.ndim]:
        raise InvalidInput(f"there is no input {strange[0]!r}: inputs are {', '.join(map(repr, known))}")
    if lacking := [name for name in known if name not in arrays]:
        raise InvalidInput(f"there is no array for the input {lacking[0]!r}")
    columns = {name: np.asarray(arrays[name]) for name in known}
    return Batch(columns, len(next(iter(columns.values()))) if signature.batched else 1)


def in_order(table: Table, model: Any) -> Table:
    """The columns of a sample in the order that a model object was trained on. Raises UsageError where they differ."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        names = getattr(model, "feature_names_", None)
    if not is_frame(table) or names is None or not all(isinstance(name, str) for name in names):
        return table
    wanted = [str(name) for name in names]
    lacking = [name for name in wanted if name not in table.columns]
    strange = [name for name in table.columns if name not in wanted]
    if lacking and wanted == ["_".join(name.split(" ")) for name in table.columns]:
        return table  # LightGBM keeps names without spaces
    if lacking and len(wanted) == table.shape[1] and not hasattr(model, "feature_names_in_"):
        return table  # trained on a matrix: its names are made up
    if lacking or strange:
        parts = [f"it lacks {', '.join(map(repr, lacking))}"] if lacking else []
        parts += [f"the model was not trained on {', '.join(map(repr, strange))}"] if strange else []
        raise UsageError(f"the sample does not fit the model: {'; '.join(parts)}. A label column is named by label=")
    return table[wanted]


def column(series: Any, field: Field) -> Array:
    """One column as the field's dtype; NaN, NaT, NA and None are missing."""
    if not hasattr(series, "dtype"):
        raise ValueError(f"{series.shape[1]} columns of the name")
    missing = np.asarray(series.isna())
    if field.content == "date":
        return _texts(series, missing, _date_text)
    if field.datatype == "BYTES":
        return _texts(series, missing, _plain_text)
    if getattr(series.dtype, "kind", "") in "mM":
        raise ValueError(f"dates or times ({series.dtype}), which are no numbers")
    if missing.any() and field.dtype.kind != "f":
        raise ValueError(f"missing values (rows {', '.join(map(str, np.flatnonzero(missing)[:5]))})")
    if field.dtype.kind == "f":
        return np.asarray(series.to_numpy(np.float64, na_value=np.nan), field.dtype)
    array = series.to_numpy()
    cast = array.astype(field.dtype)
    if not np.array_equal(cast, array):
        raise ValueError(f"values that are not {field.datatype}, like {array[np.flatnonzero(cast != array)[0]]!r}")
    return np.asarray(cast)


def _texts(series: Any, missing: Array, text: Any) -> Array:
    out = np.empty(len(series), object)
    out[:] = [None if absent else text(value) for value, absent in zip(series, missing, strict=True)]
    return out


def _plain_text(value: Any) -> Any:
    return value if isinstance(value, (str, bytes)) else category_text(value)


def _date_text(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _absent(table: Any, field: Field) -> Array:
    return np.full(len(table), np.nan, field.dtype)


def to_frame(answer: Batch, signature: Signature, like: Any) -> Any:
    """The outputs as a DataFrame with the index of `like`: a column an output, or one for each of its numbers
    (`probabilities_yes`). What rules did is in its `attrs`.
    """
    columns: dict[str, Any] = {}
    for field in signature.outputs:
        array = answer[field.name]
        if array.ndim == 1 or array.shape[1:] == (1,):
            columns[field.name] = array.reshape(len(array))
        elif array.ndim == 2:
            names = field.features or tuple(map(str, range(array.shape[1])))
            columns.update({f"{field.name}_{name}": array[:, at] for at, name in enumerate(names)})
        else:
            columns[field.name] = list(array)
    frame = like.__class__(columns, index=like.index)
    frame.attrs.update(answer.parameters or {})
    return frame
