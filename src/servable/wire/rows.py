"""The row form: `"rows": [{column: value}, ...]` to columns by the Signature, and answers back to rows.

Columns are found by name, never by position. A matrix input whose `features` are named takes one column a feature.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS
from servable.domain.field import Fault, Field
from servable.domain.signature import Signature
from servable.wire.tensors import BadTensor, from_json


def columns_of(rows: Any, signature: Signature, max_elements: int) -> tuple[dict[str, Array], list[Fault]]:
    """The arrays of a list of rows, and every fault found on the way."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return {}, [Fault("rows", "a list of objects, one a row", f"{rows!r:.80}")]
    if not signature.batched:
        return {}, [Fault("rows", "tensors in 'inputs': this model has no rows", "rows")]
    if len(rows) * max(len(signature.inputs), sum(len(field.features) for field in signature.inputs)) > max_elements:
        return {}, [Fault("rows", f"at most {max_elements} values", f"{len(rows)} rows")]
    faults: list[Fault] = []
    columns: dict[str, Array] = {}
    known: set[str] = set()
    for field in signature.inputs:
        known.update(field.features or (field.name,))
        try:
            columns[field.name] = _matrix(rows, field) if field.features else _column(rows, field)
        except BadTensor as error:
            faults.append(Fault(field.name, error.expected, error.got))
    strange = sorted({name for row in rows for name in row if name not in known})
    faults += [
        Fault(name, f"a column of the model ({_some(sorted(known))})", "an unknown column") for name in strange[:20]
    ]
    return columns, faults


def rows_of(answer: Batch, signature: Signature) -> bytes:
    """The outputs as a JSON list of objects, one a row. NaN becomes null."""
    columns = {}
    for field in signature.outputs:
        array = answer.columns[field.name]
        if array.ndim > 1 and field.features:
            columns[field.name] = [dict(zip(field.features, row, strict=True)) for row in _lists(array)]
        elif array.ndim == 2 and array.shape[1] == 1:
            columns[field.name] = _lists(array[:, 0])
        else:
            columns[field.name] = _lists(array)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return orjson.dumps(rows)


def _lists(array: Array) -> list[Any]:
    if array.dtype == object:
        texts = np.frompyfunc(lambda value: value.decode(errors="replace") if isinstance(value, bytes) else value, 1, 1)
        return list(np.asarray(texts(array), object).tolist())
    # A float32 as the shortest text that reads back to it, not as its float64 neighbour.
    return list(orjson.loads(orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)))


def _column(rows: list[dict[str, Any]], field: Field) -> Array:
    shape = (len(rows), *(1 if size == -1 else size for size in field.shape[1:]))
    values = _values(rows, field.name, field)
    if field.datatype == "BYTES":
        values = [_as_text(value) for value in values]
    return from_json(values, field.datatype, _as_came(values, field) or shape)


def _as_came(values: list[Any], field: Field) -> tuple[int, ...] | None:
    """The shape of rows that are lists, where some axis may have any length; None where they are no lists, or do not
    fit.
    """
    if -1 not in field.shape[1:] or not any(isinstance(value, list) for value in values):
        return None
    shape: list[int] = []
    inner: Any = values
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    return tuple(shape) if field.fits(tuple(shape)) else None


def _matrix(rows: list[dict[str, Any]], field: Field) -> Array:
    values = [_values(rows, feature, field) for feature in field.features]
    if field.datatype == "BYTES":
        values = [[_as_text(value) for value in column] for column in values]
    if not rows:
        return np.empty((0, *field.shape[1:]), field.dtype)
    return from_json([list(row) for row in zip(*values, strict=True)], field.datatype, (len(rows), len(values)))


def _values(rows: list[dict[str, Any]], name: str, field: Field) -> list[Any]:
    absent = [index for index, row in enumerate(rows) if name not in row]
    if absent and (field.values != "missing" or field.datatype not in FLOATS | {"BYTES"}):
        raise BadTensor(f"column {name!r} in every row", f"none in row {absent[0]}")
    return [row.get(name) for row in rows]


def _as_text(value: Any) -> Any:
    """A category written as a number: 8 and 8.0 are both "8" (pandas turns whole numbers with gaps into floats)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return str(int(value)) if float(value).is_integer() else str(value)


def _some(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:20]) + (", …" if len(names) > 20 else "")
