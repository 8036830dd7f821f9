"""What MLflow and SageMaker send to `/invocations`: data frames and CSV, to rows by column name.

Source: mlflow, docs "Deploy MLflow Model as a Local Inference Server"; SageMaker's CSV has no header, MLflow's has one.
Called by `server/http/invocations.py`; `instances` and `inputs` are `tensorflow_v1.py`'s.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson

from servable.domain.batch import Batch
from servable.domain.datatypes import FLOATS, INTEGERS
from servable.domain.field import Fault
from servable.domain.signature import Signature
from servable.wire import rows as row_form
from servable.wire.tensorflow_v1 import decode_document, refusal

MISSING = frozenset({"", "NA", "NaN", "nan", "null", "None"})
"""Cells that stand for a missing value."""


def columns(signature: Signature) -> dict[str, str]:
    """Column name to datatype, in the order of the inputs: a matrix with named features has one for each."""
    return {name: field.datatype for field in signature.inputs for name in field.features or (field.name,)}


def from_split(split: Any, signature: Signature, max_elements: int) -> Batch:
    """`{"columns": [...], "data": [[...], ...]}`; an `index` is taken and not needed."""
    names, data = (split.get("columns"), split.get("data")) if isinstance(split, dict) else (None, None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not isinstance(data, list):
        raise refusal(signature, [Fault("dataframe_split", "an object with 'columns' and 'data'", f"{split!r:.80}")])
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(names):
            raise refusal(signature, [Fault(f"data[{number}]", f"a list of {len(names)} values", f"{row!r:.80}")])
    return from_records([dict(zip(names, row, strict=True)) for row in data], signature, max_elements)


def from_records(records: Any, signature: Signature, max_elements: int) -> Batch:
    """`[{column: value}, ...]` to a batch that passes the signature. Raises InvalidInput with every fault."""
    arrays, faults = row_form.columns_of(records, signature, max_elements)
    if faults:
        raise refusal(signature, faults)
    batch = Batch(arrays, len(records))
    if faults := signature.check(batch):
        batch = signature.complete(batch)
        if faults := signature.check(batch):
            raise refusal(signature, faults)
    return batch


def from_csv(body: bytes, signature: Signature, max_elements: int) -> Batch:
    """Lines of values. A first line that names known columns is a header; without one the order is the inputs'.

    A matrix whose features have no names takes lines without a header.
    """
    known = columns(signature)
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise refusal(signature, [Fault("body", "CSV in UTF-8", str(error))]) from error
    header = bool(lines) and all(cell.strip() in known for cell in lines[0])
    if not header and len(signature.inputs) == 1 and not signature.inputs[0].features:
        datatype = signature.inputs[0].datatype
        values = [[_cell(cell.strip(), datatype) for cell in line] for line in lines]
        return decode_document({"instances": values}, signature, max_elements).batch
    names = [cell.strip() for cell in lines[0]] if header else list(known)
    rows = lines[1:] if header else lines
    if len(rows) * len(names) > max_elements:
        raise refusal(signature, [Fault("body", f"at most {max_elements} values", f"{len(rows)} lines")])
    records = []
    for number, row in enumerate(rows, 2 if header else 1):
        if len(row) != len(names):
            raise refusal(signature, [Fault(f"line {number}", f"{len(names)} values", f"{len(row)}")])
        records.append({name: _cell(cell.strip(), known[name]) for name, cell in zip(names, row, strict=True)})
    return from_records(records, signature, max_elements)


def to_csv(answer: Batch, signature: Signature) -> bytes:
    """The outputs, a line for each row, in the order of the signature, without a header."""
    records = orjson.loads(row_form.rows_of(answer, signature))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for record in records:
        writer.writerow(_flat(record.values()))
    return text.getvalue().encode()


def _cell(cell: str, datatype: str) -> Any:
    """A cell as a value of the column's datatype; one that cannot be is left as text, for the signature to refuse."""
    if datatype == "BYTES":
        return None if cell in MISSING else cell
    if cell in MISSING:
        return None
    try:
        if datatype in INTEGERS:
            return int(cell)
        return float(cell) if datatype in FLOATS else {"true": True, "false": False}.get(cell.lower(), cell)
    except ValueError:
        return cell


def _flat(values: Any) -> list[Any]:
    flat: list[Any] = []
    for value in values:
        if isinstance(value, list):
            flat += _flat(value)
        elif isinstance(value, dict):
            flat += _flat(value.values())
        else:
            flat.append(value)
    return flat
