"""Exchange: the bytes of one call, and what its answer means. No network: both clients share it.

Tensors travel in the protocol's binary form: nothing is rounded, and a large batch costs a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from servable.client import tables
from servable.domain.batch import Array
from servable.domain.datatypes import datatype_of
from servable.domain.ref import NAME, Ref
from servable.errors import ServableError, UsageError
from servable.wire.tensors import from_raw, to_raw

LENGTH: Final = "inference-header-content-length"


class Call(NamedTuple):
    """What to POST."""

    path: str
    headers: dict[str, str]
    body: bytes


def model_path(ref: str) -> str:
    """The path of a model by its Ref; a version and an alias stand in the same place."""
    parsed = Ref.parse(ref)
    chosen = parsed.version or parsed.alias
    return f"/v2/models/{parsed.name}" + (f"/versions/{chosen}" if chosen else "")


def request(
    ref: str,
    metadata: Mapping[str, Any],
    data: Any,
    request_id: str | None = None,
    timeout_s: float | None = None,
) -> Call:
    """The call that asks a model for its answer. `metadata` is what the server tells of the model, `data` what
    `tables.arrays_of` takes. Raises InvalidInput for what the model has no place for.
    """
    arrays = tables.arrays_of(data, metadata)
    inputs = []
    parts = []
    for name, array in arrays.items():
        raw = to_raw(array)
        parts.append(raw)
        inputs.append(
            {
                "name": name,
                "datatype": datatype_of(array.dtype),
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(raw)},
            }
        )
    document: dict[str, Any] = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    if request_id is not None:
        document["id"] = request_id
    if timeout_s is not None:
        document["parameters"]["timeout"] = round(timeout_s * 1e6)
    head = orjson.dumps(document)
    return Call(f"{model_path(ref)}/infer", {LENGTH: str(len(head))}, b"".join((head, *parts)))


class Outputs(dict[str, Array]):
    """Arrays by output name. `id` is the prediction's, by which its outcome may be told later, `model_version` whose
    answer it is. `parameters` are the answer's: what rules did, who stood in for whom, the `offset` of a model that
    learns; mostly empty.
    """

    id: str
    model_version: str
    parameters: dict[str, Any]


def answer(status: int, headers: Mapping[str, str], body: bytes) -> Outputs:
    """The outputs by name. Raises the error that the server told, as the ServableError of its code."""
    if status != 200:
        raise failure(status, body)
    length = int(headers.get(LENGTH, len(body)))
    document = orjson.loads(body[:length])
    tail = memoryview(body)[length:]
    outputs = Outputs()
    outputs.id, outputs.model_version = document.get("id", ""), document.get("model_version", "")
    outputs.parameters = document.get("parameters", {})
    position = 0
    for tensor in document["outputs"]:
        size = tensor["parameters"]["binary_data_size"]
        raw = tail[position : position + size]
        outputs[tensor["name"]] = from_raw(raw, tensor["datatype"], tuple(tensor["shape"]))
        position += size
    return outputs


def lookup(table: str, keys: Any, rows: Any) -> Call:
    """The call that asks a table for the answers to some keys, or one. Raises UsageError for what names no table."""
    if not NAME.fullmatch(table):
        raise UsageError(f"{table!r} cannot name a table")
    asked = [keys] if isinstance(keys, (str, int)) else [_plain(key) for key in keys]
    document = {"keys": asked} if rows is None else {"keys": asked, "rows": list(rows)}
    return Call(f"/v2/tables/{table}/lookup", {"content-type": "application/json"}, orjson.dumps(document))


def looked_up(status: int, body: bytes) -> dict[str, Any]:
    """What a table answered. Raises the error that the server told."""
    if status != 200:
        raise failure(status, body)
    return dict(orjson.loads(body))


def learn(
    ref: str, metadata: Mapping[str, Any], data: Any, outcomes: Iterable[Any], request_id: str | None, *, wait: bool
) -> Call:
    """The call that teaches a model rows with their outcomes. Raises as `request`."""
    inputs = [
        {"name": name, "datatype": datatype_of(array.dtype), "shape": list(array.shape), "data": array.ravel().tolist()}
        for name, array in tables.arrays_of(data, metadata).items()
    ]
    document: dict[str, Any] = {"inputs": inputs, "outcomes": [_plain(one) for one in outcomes]}
    if request_id is not None:
        document["id"] = request_id
    return _teaching(ref, "learn", document, wait=wait)


def feedback(ref: str, outcomes: Iterable[Mapping[str, Any]], *, wait: bool = False) -> Call:
    """The call that tells what became of predictions."""
    told = [{name: _plain(value) for name, value in one.items()} for one in outcomes]
    return _teaching(ref, "feedback", {"outcomes": told}, wait=wait)


def _teaching(ref: str, verb: str, document: dict[str, Any], *, wait: bool) -> Call:
    path = f"/v2/models/{Ref.parse(ref).name}/{verb}{'?wait=applied' if wait else ''}"
    return Call(path, {"content-type": "application/json"}, orjson.dumps(document))


def learning_path(ref: str) -> str:
    """The path that tells how a model learns."""
    return f"/v2/models/{Ref.parse(ref).name}/learning"


def taken(status: int, body: bytes) -> dict[str, Any]:
    """What became of the outcomes. Raises the error that the server told."""
    if status >= 400:
        raise failure(status, body)
    return dict(orjson.loads(body))


def _plain(key: Any) -> Any:
    return key.item() if hasattr(key, "item") else key


def failure(status: int, body: bytes) -> ServableError:
    """The error of an answer that is none, with all that the server told about it."""
    try:
        told = orjson.loads(body)
        message, code = str(told.pop("error")), told.pop("code", "")
    except (orjson.JSONDecodeError, KeyError, AttributeError):
        return ServableError(f"the server answered {status}: {body[:200]!r}", status=status)
    for kind in _tree(ServableError):
        if kind.code == code and kind.status == status:
            error = kind.__new__(kind)
            ServableError.__init__(error, message, **told)
            if "retry_after_s" in told:
                error.retry_after_s = told["retry_after_s"]  # type: ignore[attr-defined]
            return error
    return ServableError(message, status=status, **told)


def _tree(kind: type[ServableError]) -> list[type[ServableError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


def base_url(url: str) -> str:
    """The URL without a slash at its end. Raises UsageError for one without a scheme."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not a server's address: expected http://HOST:PORT")
    return url.rstrip("/")
