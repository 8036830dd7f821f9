"""Cases from production: lines of the file that a server writes its records to, as rows of the regression suite.

Of a record with several rows each is a case. What should have been answered may be written beside it, as in any case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.columns import columns
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import UsageError

EXPECTED: Final = ("label", "between", "of", "refused", "must_pass", "note")
"""What a line may have beside what was recorded."""


def with_records(text: str, signature: Signature) -> str:
    """The lines of a file of cases, those that are records as cases of the model of this signature. Raises UsageError
    for a record of another model.
    """
    return "\n".join(each for line in text.splitlines() for each in _lines(line, signature))


def _lines(line: str, signature: Signature) -> Iterator[str]:
    try:
        told = msgspec.json.decode(line) if line.strip() else None
    except msgspec.DecodeError:
        told = None  # `case.py` says what is wrong with it
    if not isinstance(told, dict) or "inputs" not in told or "row" in told:
        yield line
        return
    for row in _rows(told, signature):
        expected = {key: told[key] for key in EXPECTED if key in told}
        expected.setdefault("must_pass", any(key in told for key in ("label", "between", "refused")))
        expected.setdefault("note", f"prediction {told.get('id', '')}")
        yield msgspec.json.encode({"row": row, "source": "production", **expected}).decode()


def _rows(record: Mapping[str, Any], signature: Signature) -> Iterator[dict[str, Any]]:
    inputs = record["inputs"]
    fields = [field for field in signature.inputs if isinstance(inputs, dict) and field.name in inputs]
    if not fields:
        names = ", ".join(repr(field.name) for field in signature.inputs)
        raise UsageError(f"record {record.get('id')!r} holds no inputs of this model: expected {names}")
    try:
        batch = Batch({field.name: _array(inputs[field.name], field) for field in fields})
        named = columns(batch, fields)
    except (ValueError, TypeError) as error:
        raise UsageError(f"record {record.get('id')!r} holds rows of another model: {error}") from error
    for at in range(batch.rows):
        yield {name: _plain(array[at]) for name, array in named.items()}


def _array(values: Any, field: Field) -> Array:
    if field.datatype == "BYTES":
        return np.asarray(values, object)
    return np.asarray(np.asarray(values, object), np.float64 if field.dtype.kind == "f" else field.dtype)


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and np.isnan(plain) else plain
