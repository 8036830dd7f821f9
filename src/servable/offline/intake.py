"""Intake: columns of data as the Batch that a Signature describes, whole columns at a time, and the rows that do not
fit.

The Signature judges the values; here it is only decided what a value of another type means: a whole number in a float
column is a number, a text that reads as one too, a null is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import FLOATS
from servable.domain.field import Field
from servable.domain.signature import Signature, missing
from servable.errors import UsageError
from servable.offline.numerals import Reasons, numbers_of, utf8
from servable.offline.piece import arrow
from servable.runtimes.features import category_text

if TYPE_CHECKING:
    import pyarrow as pa

TILE_ROWS: Final = 4096
"""Rows of a matrix that are filled in together, so that they stay in a core's cache while its columns come in."""


class Taken(NamedTuple):
    """The rows that fit, which of the block they are (None: all), and why the others do not."""

    batch: Batch
    good: Array | None
    reasons: Reasons


def needed(signature: Signature, present: Sequence[str]) -> list[str]:
    """The columns of the data that the model reads. Raises UsageError that names all that are lacking."""
    lacking, found = [], []
    for field in signature.inputs:
        for name in field.features or (field.name,):
            if name in present:
                found.append(name)
            elif not _optional(field):
                lacking.append(name)
    if lacking:
        raise UsageError(
            f"the input lacks {'columns' if len(lacking) > 1 else 'the column'} {', '.join(map(repr, lacking))} of the "
            f"model: it has {', '.join(map(repr, present))}"
        )
    return found


def absent(signature: Signature, present: Collection[str]) -> list[str]:
    """The columns that the model may do without, and that are not there: they are taken as missing throughout."""
    optional = [field for field in signature.inputs if _optional(field)]
    return [name for field in optional for name in field.features or (field.name,) if name not in present]


def _optional(field: Field) -> bool:
    return field.values == "missing" and field.datatype in FLOATS | {"BYTES"}


def named(signature: Signature, present: Sequence[str], key: str) -> Signature:
    """The signature with names for the features of its only input, where neither model nor data name it otherwise.

    There is nothing to go by but the order of the columns then: all but the key, if they are as many as it takes.
    """
    only = signature.inputs[0]
    columns = tuple(name for name in present if name != key)
    if len(signature.inputs) > 1 or only.features or only.name in present or only.shape[1:] != (len(columns),):
        return signature
    return msgspec.structs.replace(signature, inputs=(msgspec.structs.replace(only, features=columns),))


def take(block: pa.RecordBatch, signature: Signature) -> Taken:
    """A block as a batch of the rows that pass the signature."""
    rows = block.num_rows
    bad: Reasons = {}
    columns = {field.name: _field(block, field, rows, bad) for field in signature.inputs}
    batch = Batch(columns, rows)
    if bad or signature.check(batch):
        _judge(batch, signature, bad)
    if not bad:
        return Taken(batch, None, bad)
    good = np.ones(rows, bool)
    good[list(bad)] = False
    return Taken(Batch({name: array[good] for name, array in columns.items()}, int(good.sum())), good, bad)


def _judge(batch: Batch, signature: Signature, bad: Reasons) -> None:
    """What the signature says of each row, beside what is known to be wrong with it already."""
    known = set(bad)
    for field in signature.inputs:
        array = batch[field.name]
        for marked, expected in field.marks(array):
            for row in np.unique(np.argwhere(marked)[:, 0]).tolist():
                if row not in known:
                    at = tuple(np.argwhere(marked[row])[0])
                    name = field.features[at[-1]] if field.features else field.name
                    bad.setdefault(row, []).append(f"{name!r}: expected {expected}, got {array[row][at]!s:.80}")


def _field(block: pa.RecordBatch, field: Field, rows: int, bad: Reasons) -> Array:
    names = field.features or (field.name,)
    places = [block.schema.get_field_index(name) for name in names]
    if field.features:
        if (plain := _plain_matrix(block, field, places)) is not None:
            return plain
        columns = [
            None if place < 0 else _column(block.column(place), field, name, bad)
            for name, place in zip(names, places, strict=True)
        ]
        return _matrix(columns, field, rows)
    if places[0] < 0:
        return missing(field, rows)
    column = block.column(places[0])
    if arrow().types.is_list(column.type) or arrow().types.is_fixed_size_list(column.type):
        return _lists(column, field, bad)
    return _column(column, field, field.name, bad).reshape(rows, *(1 for _ in field.shape[1:]))


def _plain_matrix(block: pa.RecordBatch, field: Field, places: Sequence[int]) -> Array | None:
    """Columns that are all there, all of one kind, the field's own or another of broken numbers, side by side at once;
    else None.
    """
    if min(places) < 0 or field.dtype.kind not in "fiu":
        return None
    chosen = block if places == list(range(block.num_columns)) else block.select(list(places))
    kind = chosen.schema.field(0).type
    if any(column.type != kind or column.null_count for column in chosen.columns):
        return None
    if kind != arrow().from_numpy_dtype(field.dtype) and not (
        field.dtype.kind == "f" and arrow().types.is_floating(kind)
    ):
        return None
    with np.errstate(over="ignore"):
        return np.asarray(chosen.to_tensor(row_major=True).to_numpy(), field.dtype)


def _matrix(columns: Sequence[Array | None], field: Field, rows: int) -> Array:
    """Columns side by side; None is one that is missing throughout."""
    matrix = np.empty((rows, len(columns)), field.dtype)
    for start in range(0, rows, TILE_ROWS):
        tile = slice(start, start + TILE_ROWS)
        for at, column in enumerate(columns):
            matrix[tile, at] = _absent(field) if column is None else column[tile]
    return matrix


def _absent(field: Field) -> Any:
    return None if field.datatype == "BYTES" else np.nan


def _column(column: Any, field: Field, name: str, bad: Reasons) -> Array:
    """One column as the field's dtype; rows that cannot be so are told, and hold something harmless."""
    if field.datatype == "BYTES":
        return _texts(column, name, bad)
    if field.dtype.kind in "fiu" and not column.null_count and column.type == arrow().from_numpy_dtype(field.dtype):
        return np.asarray(column)  # as it is, without a copy
    types = arrow().types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_string(column.type) or types.is_binary(column.type) or types.is_large_string(column.type):
        column = numbers_of(column, name, bad, whole=field.dtype.kind != "f")
    elif not (
        types.is_integer(column.type)
        or types.is_floating(column.type)
        or types.is_boolean(column.type)
        or types.is_decimal(column.type)
        or types.is_null(column.type)
    ):
        raise UsageError(f"column {name!r}: expected numbers for {field.datatype}, got {column.type}")
    if types.is_decimal(column.type) or types.is_null(column.type):
        column = column.cast(arrow().float64())
    if field.dtype.kind == "f":
        if types.is_boolean(column.type):
            column = column.cast(arrow().uint8())
        with np.errstate(over="ignore"):
            return np.asarray(column.to_numpy(zero_copy_only=False), field.dtype)
    return _whole(column, field, name, bad)


def _whole(column: Any, field: Field, name: str, bad: Reasons) -> Array:
    """Integers or booleans, where nothing may be missing and nothing may be lost."""
    absent = np.asarray(column.is_null())
    nothing = False if arrow().types.is_boolean(column.type) else 0
    values = column.fill_null(nothing).to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        cast = values.astype(field.dtype)
        unlike = cast != values
    for row in np.flatnonzero(absent | unlike).tolist():
        got = "nothing" if absent[row] else f"{values[row]!s:.80}"
        bad.setdefault(row, []).append(f"{name!r}: expected {field.datatype}, got {got}")
    return np.asarray(cast)


def _texts(column: Any, name: str, bad: Reasons) -> Array:
    types = arrow().types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_binary(column.type):
        column = utf8(column, name, bad)
    if types.is_string(column.type) or types.is_large_string(column.type) or types.is_null(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False), object)
    out = np.empty(len(column), object)
    out[:] = [_text(value) for value in column.to_pylist()]
    return out


def _text(value: Any) -> Any:
    if value is None or isinstance(value, (str, bytes)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else category_text(value)


def _lists(column: Any, field: Field, bad: Reasons) -> Array:
    """A tensor a row: lists of the length that the field says."""
    shape = [max(axis, 1) for axis in field.shape[1:]]
    size = int(np.prod(shape))
    if (plain := _plain_lists(column, field, size)) is not None:
        return plain.reshape(len(column), *shape)
    wanted = list(_flat(column.to_pylist()))
    out = np.zeros((len(wanted), size), field.dtype)
    for row, values in enumerate(wanted):
        if len(values) == size and None not in values:
            out[row] = values
        else:
            bad.setdefault(row, []).append(f"{field.name!r}: expected {size} values, got {len(values)}")
    return out.reshape(len(wanted), *shape)


def _plain_lists(column: Any, field: Field, size: int) -> Array | None:
    """Lists of numbers that are all there and of the right length, without looking at each; else None."""
    import pyarrow.compute as pc

    types = arrow().types
    kind = column.type.value_type
    if field.dtype.kind != "f" or column.null_count or not (types.is_floating(kind) or types.is_integer(kind)):
        return None
    values = column.flatten()
    if values.null_count or not pc.all(pc.equal(pc.list_value_length(column), size)).as_py():
        return None
    with np.errstate(over="ignore"):
        return np.asarray(values.to_numpy(zero_copy_only=False), field.dtype)


def _flat(rows: list[Any]) -> Iterator[list[Any]]:
    for row in rows:
        values = row or []
        while values and isinstance(values[0], list):
            values = [value for part in values for value in part]
        yield values
