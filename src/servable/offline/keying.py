"""The column of keys: which kind they are, and each row's key or what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from servable.domain.batch import Array
from servable.errors import UsageError
from servable.offline.piece import arrow
from servable.offline.texts import texts_of
from servable.stores.tables import keys
from servable.stores.tables.generation import KeyKind
from servable.stores.tables.port import MAX_KEY_BYTES

if TYPE_CHECKING:
    import pyarrow as pa


class Keyed(NamedTuple):
    """A key for each row, int64 or string; something harmless in the rows that are `wrong`, with the reason."""

    keys: pa.Array
    wrong: dict[int, str]


def kind_of(kind: Any, name: str) -> KeyKind:
    """The kind of key that a column of this Arrow type holds. Raises UsageError for one that cannot name rows."""
    types = arrow().types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_integer(kind):
        return "integer"
    if types.is_floating(kind) or types.is_nested(kind) or types.is_boolean(kind):
        raise UsageError(f"column {name!r} cannot be the key: it holds {kind}; expected whole numbers or texts")
    return "text"


def keys_of(block: Any, name: str, kind: KeyKind) -> Keyed:
    """The keys of a block."""
    column = block.column(name)
    if arrow().types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return _integers(column, name) if kind == "integer" else _texts(column, name)


def packed(found: pa.Array) -> Array | list[bytes]:
    """Keys as they stand in a table."""
    return keys.packed(found.to_numpy(zero_copy_only=False))


def _integers(column: Any, name: str) -> Keyed:
    pa = arrow()
    wrong: dict[int, str] = {}
    if not pa.types.is_integer(column.type):
        values = column.to_pylist()
        wrong = {
            row: f"{name!r}: expected a whole number, got {value!r:.80}"
            for row, value in enumerate(values)
            if type(value) is not int
        }
        return Keyed(pa.array([0 if row in wrong else value for row, value in enumerate(values)], pa.int64()), wrong)
    if column.null_count:
        wrong = dict.fromkeys(np.flatnonzero(np.asarray(column.is_null())).tolist(), f"{name!r}: there is no key")
        column = column.fill_null(0)
    if column.type == pa.uint64():
        over = np.flatnonzero(column.to_numpy() > np.uint64(2**63 - 1)).tolist()
        wrong |= dict.fromkeys(over, f"{name!r}: the key has more than 64 bits with a sign")
    return Keyed(column.cast(pa.int64(), safe=False), wrong)


def _texts(column: Any, name: str) -> Keyed:
    import pyarrow.compute as pc

    pa = arrow()
    wrong: dict[int, str] = {}
    if pa.types.is_binary(column.type):
        column, broken = texts_of(column)
        wrong = {row: f"{name!r}: the key is no UTF-8: {value!r:.80}" for row, value in broken.items()}
    elif not pa.types.is_string(column.type):
        values = column.to_pylist()
        texts = [None if one is None else one.isoformat() if hasattr(one, "isoformat") else str(one) for one in values]
        column = pa.array(texts, pa.string())
    sizes = pc.fill_null(pc.binary_length(column), -1).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero((sizes < 1) | (sizes > MAX_KEY_BYTES)).tolist():
        size = int(sizes[row])
        reason = "there is no key" if size < 0 else f"expected a key of 1 to {MAX_KEY_BYTES} bytes, got {size}"
        wrong.setdefault(row, f"{name!r}: {reason}")
    return Keyed(column.fill_null("") if column.null_count else column, wrong)
