"""Golden rows: inputs and the answers they must get, kept in the bundle and asked of every loaded version.

The file is JSON, data only: `{"inputs": {name: tensor}, "outputs": {name: tensor}, "relative": r, "absolute": a}`,
where a tensor is `{"datatype", "shape", "data"}`. NaN and infinities are written as text, a missing text as null, and
bytes that are not UTF-8 as `{"b64": ...}`.
"""

from __future__ import annotations

import base64
import math
from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.difference import ABSOLUTE, RELATIVE, differences
from servable.domain.batch import Array, Batch
from servable.domain.bundle import Bundle
from servable.domain.datatypes import DTYPES, FLOATS, datatype_of
from servable.domain.model import Model
from servable.errors import CorruptModel, IncompatibleModel
from servable.runtimes import verified

GOLDEN: Final = "golden.json"
"""The file's name in a bundle that this program packs."""


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


class _Golden(msgspec.Struct, forbid_unknown_fields=True):
    inputs: dict[str, _Tensor]
    outputs: dict[str, _Tensor]
    rows: int = 0
    relative: float = RELATIVE
    absolute: float = ABSOLUTE


def golden_bytes(inputs: Batch, outputs: Batch) -> bytes:
    """Rows and their answers as a file's content. Equal batches give equal bytes."""
    golden = _Golden(
        {name: _tensor(array) for name, array in inputs.columns.items()},
        {name: _tensor(array) for name, array in outputs.columns.items()},
        inputs.rows,
    )
    return msgspec.json.encode(golden, order="deterministic") + b"\n"


def read_golden(data: bytes) -> tuple[Batch, Batch, float, float]:
    """Inputs, outputs, relative and absolute tolerance. Raises CorruptModel."""
    try:
        golden = msgspec.json.decode(data, type=_Golden)
        inputs = {name: _array(tensor) for name, tensor in golden.inputs.items()}
        outputs = {name: _array(tensor) for name, tensor in golden.outputs.items()}
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
        raise CorruptModel(f"the golden rows of the bundle cannot be read: {error}") from error
    return Batch(inputs, golden.rows), Batch(outputs, golden.rows), golden.relative, golden.absolute


def golden_rows(bundle: Bundle) -> Batch | None:
    """The inputs among the golden rows; None where the bundle has none. Raises CorruptModel, DigestMismatch."""
    return None if bundle.manifest.golden is None else _read(bundle)[0]


def prove_golden(bundle: Bundle, model: Model) -> int:
    """Raise IncompatibleModel unless `model` answers the golden rows as written, together and one alone.

    Returns how many rows it was asked; 0 where the bundle has none.
    """
    if bundle.manifest.golden is None:
        return 0
    inputs, outputs, relative, absolute = _read(bundle)
    if faults := bundle.signature.check(inputs):
        raise CorruptModel(f"the golden rows of {bundle.name!r} break its own signature: {'; '.join(map(str, faults))}")
    asked = [(inputs, outputs)]
    if bundle.signature.batched and inputs.rows > 1:
        asked.append((inputs.slice(0, 1), outputs.slice(0, 1)))
    for rows, expected in asked:
        wrong = [found for found in differences(expected, model.predict(rows), relative, absolute) if found.count]
        if wrong:
            raise IncompatibleModel(
                f"the loaded model {bundle.name!r} does not reproduce its golden rows: {'; '.join(map(str, wrong))}. "
                f"It was packed with {_libraries(bundle)}: install these, or pack it again",
            )
    return inputs.rows


def _read(bundle: Bundle) -> tuple[Batch, Batch, float, float]:
    return read_golden(verified.read(bundle, bundle.folder / str(bundle.manifest.golden)))


def _libraries(bundle: Bundle) -> str:
    return ", ".join(f"{name} {version}" for name, version in bundle.manifest.libraries.items()) or "other libraries"


def _tensor(array: Array) -> _Tensor:
    values = array.ravel()
    datatype = datatype_of(array.dtype)
    if datatype in FLOATS:
        data = [value if math.isfinite(value) else str(value) for value in values.astype(np.float64).tolist()]
    elif datatype == "BYTES":
        data = [_text(value) for value in values.tolist()]
    else:
        data = values.tolist()
    return _Tensor(datatype, array.shape, data)


def _text(value: Any) -> Any:
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _from_text(value: Any) -> Any:
    return base64.b64decode(value["b64"], validate=True) if isinstance(value, dict) else value


def _array(tensor: _Tensor) -> Array:
    dtype = DTYPES[tensor.datatype]
    if tensor.datatype in FLOATS:
        return np.array([float(value) for value in tensor.data], dtype).reshape(tensor.shape)
    if tensor.datatype == "BYTES":
        array = np.empty(len(tensor.data), object)
        array[:] = [_from_text(value) for value in tensor.data]
        return array.reshape(tensor.shape)
    return np.array(tensor.data, dtype).reshape(tensor.shape)
