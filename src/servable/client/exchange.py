"""Exchange: the bytes of one call, and what its answer means. No network: both clients share it.

Tensors travel in the protocol's binary form: nothing is rounded, and a large batch costs a copy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson

from servable.domain.batch import Array
from servable.domain.datatypes import DTYPES, FLOATS, datatype_of
from servable.domain.ref import NAME, Ref
from servable.errors import InvalidInput, ServableError, UsageError
from servable.wire.tensors import from_raw, to_raw

if TYPE_CHECKING:
    import pandas as pd

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
    data: pd.DataFrame | Mapping[str, Any],
    request_id: str | None = None,
    timeout_s: float | None = None,
) -> Call:
    """The call that asks a model for its answer to a DataFrame, or to arrays by input name.

    `metadata` is what the server tells of the model. Columns are found by name; a matrix input whose features are named
    takes one column a feature. Raises InvalidInput for what the model has no place for.
    """
    arrays = _of_frame(data, metadata) if hasattr(data, "columns") else _of_mapping(data, metadata)
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
    """Arrays by output name. `parameters` are the answer's: what rules did, who stood in for whom; mostly empty."""

    parameters: dict[str, Any]


def answer(status: int, headers: Mapping[str, str], body: bytes) -> Outputs:
    """The outputs by name. Raises the error that the server told, as the ServableError of its code."""
    if status != 200:
        raise failure(status, body)
    length = int(headers.get(LENGTH, len(body)))
    document = orjson.loads(body[:length])
    tail = memoryview(body)[length:]
    outputs = Outputs()
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


def feedback(ref: str, outcomes: Iterable[Mapping[str, Any]]) -> Call:
    """The call that tells what became of predictions."""
    told = [{name: _plain(value) for name, value in one.items()} for one in outcomes]
    path = f"/v2/models/{Ref.parse(ref).name}/feedback"
    return Call(path, {"content-type": "application/json"}, orjson.dumps({"outcomes": told}))


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


def frame_of(outputs: Outputs, index: Any) -> pd.DataFrame:
    """Outputs as a DataFrame with the rows' own index: a vector is a column, a matrix one column a position. Their
    parameters are in its `attrs`.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, array in outputs.items():
        if array.ndim <= 1:
            columns[name] = array
        else:
            flat = array.reshape(len(array), -1)
            columns |= {f"{name}_{position}": flat[:, position] for position in range(flat.shape[1])}
    frame = pd.DataFrame(columns, index=index)
    frame.attrs.update(outputs.parameters)
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
    arrays = {}
    for field in metadata["inputs"]:
        names = field.get("features") or [field["name"]]
        absent = [name for name in names if name not in frame.columns]
        if (
            absent
            and len(metadata["inputs"]) == 1
            and frame.shape[1] == field["shape"][-1]
            and not field.get("features")
        ):
            # One matrix without named features: nothing to go by but the order of the columns.
            arrays[field["name"]] = _array(frame.to_numpy(), field, field["name"])
            continue
        if absent:
            raise InvalidInput(
                f"the frame lacks the column {absent[0]!r}: it has {', '.join(map(repr, frame.columns[:20]))}"
            )
        values = frame[names].to_numpy() if field.get("features") else frame[field["name"]].to_numpy()
        array = _array(values, field, field["name"])
        arrays[field["name"]] = array.reshape(-1, 1) if array.ndim == 1 and len(field["shape"]) > 1 else array
    return arrays


def _array(values: Any, field: Mapping[str, Any], name: str) -> Array:
    """The values in the datatype that the model takes, if nothing is lost."""
    datatype = field["datatype"]
    array = np.asarray(values)
    if datatype == "BYTES":
        texts = np.asarray(array, object)
        return np.asarray(np.frompyfunc(_text, 1, 1)(texts), object)
    if array.dtype == object and datatype in FLOATS:
        array = np.asarray(np.frompyfunc(lambda value: np.nan if value is None else value, 1, 1)(array), np.float64)
    wanted = DTYPES[datatype]
    if array.dtype.kind not in "biuf" or (wanted.kind in "iu" and array.dtype.kind == "f" and (array % 1 != 0).any()):
        raise InvalidInput(f"input {name!r}: expected numbers for {datatype}, got {array.dtype}")
    converted = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(converted, array):
        raise InvalidInput(f"input {name!r}: expected numbers that fit {datatype}, got {array.max()}")
    return converted


def _text(value: Any) -> Any:
    """Text as it is; a whole number without its `.0` (pandas makes floats of whole numbers with gaps); dates as ISO."""
    if value is None or value != value:  # noqa: PLR0124 - NaN, of whatever library
        return None
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _tree(kind: type[ServableError]) -> list[type[ServableError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


def base_url(url: str) -> str:
    """The URL without a slash at its end. Raises UsageError for one without a scheme."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not a server's address: expected http://HOST:PORT")
    return url.rstrip("/")
