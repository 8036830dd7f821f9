"""TensorFlow Serving's and KServe's V1 `:predict`: `instances` (rows) or `inputs` (columns) to a Batch, and back.

Source: tensorflow/serving, g3doc/api_rest.md and util/json_tensor.h; kserve's V1 protocol is the same here.
Beyond it: an instance may name the features of a matrix input instead of the input; a value stands for a list of one.
Called by `server/http/tensorflow_v1.py`. Every answer also names the model, its version and the request.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from servable.domain.batch import Array, Batch
from servable.domain.field import Fault, Field, all_finite
from servable.domain.signature import Signature
from servable.errors import InvalidInput
from servable.wire import rows as row_form
from servable.wire.options import Options, read_options
from servable.wire.tensors import BadTensor, from_json, size_of, to_json

B64: Final = "b64"
"""An object with this single key is a value of bytes, in base64."""
AS_BYTES: Final = "_bytes"
"""Text outputs whose names end so are answered in base64."""
SHOWN: Final = 20
"""Faults told, at the most: enough to see."""


class Ask(NamedTuple):
    """A decoded request. `by_rows`: asked by `instances`, to be answered by `predictions`."""

    batch: Batch
    options: Options
    by_rows: bool


def decode(body: bytes, signature: Signature, max_elements: int) -> Ask:
    """A request body to a batch that passes the signature. Raises InvalidInput: every fault, and a body that works."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise refusal(
            signature, [Fault("body", "valid JSON (null for a missing value, not NaN)", str(error))]
        ) from error
    if not isinstance(document, dict):
        raise refusal(signature, [Fault("body", "a JSON object", _shown(document))])
    given = [form for form in ("instances", "inputs") if form in document]
    if len(given) != 1:
        raise refusal(
            signature, [Fault("body", "'instances' (rows) or 'inputs' (columns)", " and ".join(given) or "neither")]
        )
    return decode_document(document, signature, max_elements)


def decode_document(document: Mapping[str, Any], signature: Signature, max_elements: int) -> Ask:
    """The same for a document with `instances` or `inputs` that is read already."""
    by_rows = "instances" in document
    columns, faults = (
        _from_instances(document["instances"], signature, max_elements)
        if by_rows
        else _from_inputs(document["inputs"], signature, max_elements)
    )
    if faults:
        raise refusal(signature, faults)
    parameters = document.get("parameters")
    options = read_options(document.get("id"), parameters if isinstance(parameters, dict) else None)
    rows = next((len(array) for array in columns.values() if array.ndim), 0) if signature.batched else 1
    batch = Batch(columns, rows, options.parameters)
    if faults := signature.check(batch):
        batch = signature.complete(batch)
        if faults := signature.check(batch):
            raise refusal(signature, faults)
    return Ask(batch, options, by_rows)


def encode(answer: Batch, signature: Signature, *, by_rows: bool) -> dict[str, Any]:
    """`{"predictions": ...}` or `{"outputs": ...}`: a single output drops its name, several give objects; and the
    answer's `parameters`, if it has any.

    Some values are JSON text already: hand the result to `orjson.dumps`. Raises ModelFailed: JSON has no NaN.
    """
    told = {} if answer.parameters is None else {"parameters": answer.parameters}
    values = {field.name: _values(field, answer[field.name]) for field in signature.outputs}
    if len(values) == 1:
        (only,) = values.values()
        return {"predictions" if by_rows else "outputs": orjson.Fragment(only), **told}
    if not by_rows:
        return {"outputs": {name: orjson.Fragment(text) for name, text in values.items()}, **told}
    columns = [orjson.loads(text) for text in values.values()]
    return {"predictions": [dict(zip(values, row, strict=True)) for row in zip(*columns, strict=True)], **told}


def example(signature: Signature) -> dict[str, Any]:
    """A body that this model accepts: instances, or inputs where the model has no rows."""
    batch = signature.example()
    values = {field.name: batch[field.name].tolist() for field in signature.inputs}
    if not signature.batched:
        return {"inputs": values}
    rows = {name: value[0] for name, value in values.items()}
    return {"instances": [rows if len(rows) != 1 else next(iter(rows.values()))]}


def refusal(signature: Signature, faults: list[Fault]) -> InvalidInput:
    """The error for these faults, with a body that would work."""
    told = [str(fault) for fault in faults]
    message = f"the request breaks the contract of the model: {'; '.join(told)}"
    return InvalidInput(message, faults=told, example=example(signature))


def _from_instances(instances: Any, signature: Signature, max_elements: int) -> tuple[dict[str, Array], list[Fault]]:
    if not signature.batched:
        return {}, [Fault("instances", "'inputs': this model has no rows", "'instances'")]
    if not isinstance(instances, list) or len(instances) > max_elements:
        got = f"{len(instances)} of them" if isinstance(instances, list) else _shown(instances)
        return {}, [Fault("instances", f"a list, one item a row, of at most {max_elements} values", got)]
    named = [isinstance(instance, dict) and set(instance) != {B64} for instance in instances]
    if not any(named):
        return _single(instances, signature, "instances", max_elements)
    if not all(named):
        return {}, [Fault("instances", "all objects or all values", f"both (row {named.index(not named[0])})")]
    if any(isinstance(value, (list, dict)) for value in instances[0].values()):
        return _from_tensors_by_row(instances, signature, max_elements)
    return row_form.columns_of(instances, signature, max_elements)


def _from_tensors_by_row(
    instances: list[dict[str, Any]], signature: Signature, max_elements: int
) -> tuple[dict[str, Array], list[Fault]]:
    """Objects of input name to the tensor of one row."""
    names = {name for instance in instances for name in instance}
    if strange := names.difference(field.name for field in signature.inputs):
        return {}, [_unknown(name, signature) for name in sorted(strange)[:SHOWN]]
    columns: dict[str, Any] = {}
    for name in names.union(field.name for field in signature.inputs if field.values != "missing"):
        lacking = next((row for row, instance in enumerate(instances) if name not in instance), None)
        if lacking is not None:
            return {}, [Fault(name, "a value in every instance", f"none in row {lacking}")]
        columns[name] = [instance[name] for instance in instances]
    return _tensors(columns, signature, max_elements)


def _from_inputs(inputs: Any, signature: Signature, max_elements: int) -> tuple[dict[str, Array], list[Fault]]:
    if isinstance(inputs, dict) and set(inputs) != {B64}:
        return _tensors(inputs, signature, max_elements)
    return _single(inputs, signature, "inputs", max_elements)


def _single(data: Any, signature: Signature, where: str, max_elements: int) -> tuple[dict[str, Array], list[Fault]]:
    """Values without a name: they belong to the only input."""
    if len(signature.inputs) != 1:
        names = ", ".join(repr(field.name) for field in signature.inputs)
        return {}, [Fault(where, f"objects that name the inputs ({names})", "values without names")]
    return _tensors({signature.inputs[0].name: data}, signature, max_elements)


def _tensors(given: Mapping[str, Any], signature: Signature, max_elements: int) -> tuple[dict[str, Array], list[Fault]]:
    columns: dict[str, Array] = {}
    faults: list[Fault] = []
    left = max_elements
    for name, data in given.items():
        field = signature.input(name)
        if field is None:
            faults.append(_unknown(name, signature))
        else:
            try:
                columns[name] = _tensor(data, field, left)
                left -= columns[name].size
            except BadTensor as error:
                faults.append(Fault(name, error.expected, error.got))
        if len(faults) == SHOWN:
            break
    return columns, faults


def _unknown(name: str, signature: Signature) -> Fault:
    names = ", ".join(repr(field.name) for field in signature.inputs)
    return Fault(name[:80], f"an input of the model ({names})", "an unknown name")


def _tensor(data: Any, field: Field, max_elements: int) -> Array:
    """Nested lists to an array of their own shape; values where lists of one are due are put into lists."""
    shape = _shape_of(data)
    if len(shape) > len(field.shape):
        raise BadTensor(f"shape {list(field.shape)}", f"lists nested {len(shape)} deep")
    if size_of(shape) > max_elements:
        raise BadTensor(f"at most {max_elements} values", f"shape {list(shape)}")
    if field.datatype == "BYTES":
        data = _bytes(data, len(shape))
    array = from_json(data if shape else [data], field.datatype, shape or (1,))
    if not shape:
        return array.reshape(())
    return array.reshape(*shape, 1) if len(shape) + 1 == len(field.shape) and field.shape[-1] == 1 else array


def _shape_of(data: Any) -> tuple[int, ...]:
    """The lengths of the first list of each level: what the nesting says it is. `from_json` finds whether it holds."""
    shape = []
    while isinstance(data, list):
        shape.append(len(data))
        if not data:
            break
        data = data[0]
    return tuple(shape)


def _bytes(data: Any, depth: int) -> Any:
    """The same with `{"b64": ...}` read, in lists nested `depth` deep: text where the bytes are text, else bytes."""
    if isinstance(data, list):
        if depth == 0:
            raise BadTensor("lists nested equally deep", "a list among values")
        return [_bytes(value, depth - 1) for value in data]
    if not isinstance(data, dict):
        return data
    if set(data) != {B64} or not isinstance(data[B64], str):
        raise BadTensor('text, or {"b64": text}', f"an object with {_shown(sorted(data)[:SHOWN])}")
    try:
        raw = base64.b64decode(data[B64], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadTensor("valid base64", f"{data[B64]!r:.40} ({error})") from error
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _values(field: Field, array: Array) -> bytes:
    """An output nested as its shape, as JSON text. Bytes that are not text are written in base64."""
    if array.dtype == object:
        as_bytes = field.name.endswith(AS_BYTES)
        return orjson.dumps(np.frompyfunc(lambda value: _readable(value, as_bytes), 1, 1)(array).tolist())
    if array.ndim < 2 or (array.dtype.kind == "f" and not all_finite(array)):
        flat = to_json(field.name, array, missing=field.values != "finite")
        if array.ndim < 2:
            return flat if array.ndim else flat[1:-1]
    return orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)


def _readable(value: Any, as_bytes: bool) -> Any:
    if value is None:
        return None
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return {B64: base64.b64encode(value).decode()}
    else:
        text = str(value)
    return {B64: base64.b64encode(text.encode()).decode()} if as_bytes else text


def _shown(value: Any) -> str:
    return f"{value!r:.80}"
