"""A bundle as an MLflow model: a folder that `mlflow.pyfunc.load_model` loads, with the whole bundle inside it.

Its `python_function` answers as the bundle does, through this library (`mlflow_function.py`); an ONNX model is offered
under MLflow's own flavour as well. What came from MLflow goes back: run, ids, time, metadata. Packing or serving the
folder finds the bundle in it again, byte for byte.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from servable.bundles.golden import golden_rows
from servable.bundles.mlflow_origin import FACTS, origin
from servable.bundles.profile import read_reference
from servable.bundles.write import write_file
from servable.domain.batch import Batch
from servable.domain.bundle import MANIFEST, SIGNATURES, Bundle
from servable.domain.columns import column_names, columns
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import Conflict, MissingExtra
from servable.runtimes.mlflow_folder import BUNDLE, FILE
from servable.stores.whole import sync
from servable.version import __version__

FUNCTION: Final = "servable.bundles.mlflow_function"
EXAMPLE: Final = "input_example.json"
EXAMPLE_ROWS: Final = 5
_TYPES: Final = {"BYTES": "string", "BOOL": "boolean", "FP16": "double", "FP32": "double", "FP64": "double"}
"""Of columns; all integers are `long`. FP32 is `double`: MLflow refuses a table's ordinary numbers for `float`."""


def export(bundle: Bundle, target: Path, registered: float | None = None) -> None:
    """Make the folder. Raises Conflict for one that is there, MissingExtra, and what reading the bundle raises."""
    if target.exists() and any(target.iterdir()):
        raise Conflict(f"{str(target)!r} exists already: choose another place, or remove it first")
    for path in (MANIFEST, *(file.path for file in bundle.manifest.files), SIGNATURES):
        if (bundle.folder / path).is_file():
            write_file(target / BUNDLE / path, bundle.folder / path)
    stated = _stated(bundle, registered)
    example = _example(bundle)
    if example is not None:
        write_file(target / EXAMPLE, msgspec.json.encode(example) + b"\n")
        stated["saved_input_example_info"] = {"artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split"}
    libraries = [f"servable=={__version__}", *(f"{name}=={of}" for name, of in sorted(_libraries(bundle).items()))]
    write_file(target / "requirements.txt", "".join(f"{line}\n" for line in libraries).encode())
    write_file(
        target / "python_env.yaml",
        _yaml({"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}),
    )
    write_file(target / FILE, _yaml(stated))
    sync(target)


def _stated(bundle: Bundle, registered: float | None) -> dict[str, Any]:
    manifest = bundle.manifest
    flavors: dict[str, Any] = {
        "python_function": {
            "loader_module": FUNCTION,
            "data": BUNDLE,
            "python_version": platform.python_version(),
            "env": {"virtualenv": "python_env.yaml"},
        },
        "servable": {"bundle": BUNDLE, "digest": bundle.digest, "version": __version__},
    }
    if manifest.format == "onnx":
        flavors["onnx"] = {
            "data": f"{BUNDLE}/{manifest.model}",
            "onnx_version": "1",
            "providers": ["CPUExecutionProvider"],
        }
    was = origin(bundle)
    stated = {key: was[key] for key in FACTS if was.get(key) is not None}
    if registered is not None:
        stated.setdefault("utc_time_created", datetime.fromtimestamp(registered, UTC).strftime("%Y-%m-%d %H:%M:%S.%f"))
    stated.setdefault("model_uuid", bundle.digest[:32])
    about = {
        "name": manifest.name,
        "digest": bundle.digest,
        "checks": list(manifest.checks),
        "lineage": manifest.lineage,
    }
    stated["metadata"] = {**(was.get("metadata") or {}), "servable": about}
    signature = was.get("signature") or _signature(manifest.signature)
    return stated | {"flavors": flavors, "signature": signature}


def _signature(signature: Signature) -> dict[str, Any]:
    """In MLflow's words: columns where there are columns, else tensors."""
    inputs = [_column(name, field) for field in signature.inputs for name in column_names(field)]
    if not all(map(column_names, signature.inputs)):
        inputs = [_tensor(field) for field in signature.inputs]
    outputs = [_tensor(field) for field in signature.outputs]
    return {
        "inputs": msgspec.json.encode(inputs).decode(),
        "outputs": msgspec.json.encode(outputs).decode(),
        "params": None,
    }


def _column(name: str, field: Field) -> dict[str, Any]:
    kind = "datetime" if field.content == "date" else _TYPES.get(field.datatype, "long")
    return {"type": kind, "name": name, "required": field.values != "missing"}


def _tensor(field: Field) -> dict[str, Any]:
    dtype = "str" if field.datatype == "BYTES" else str(np.dtype(field.dtype))
    return {"type": "tensor", "name": field.name, "tensor-spec": {"dtype": dtype, "shape": list(field.shape)}}


def _example(bundle: Bundle) -> dict[str, Any] | None:
    """Some rows as pandas writes a table; None where the inputs are no columns."""
    fields = bundle.signature.inputs
    if not all(map(column_names, fields)):
        return None
    kept = read_reference(bundle)
    rows: Batch | None = golden_rows(bundle) if kept is None else kept.inputs
    if rows is None:
        return None
    few = columns(rows.slice(0, min(EXAMPLE_ROWS, rows.rows)), fields)
    data = [list(row) for row in zip(*(map(_value, array.tolist()) for array in few.values()), strict=True)]
    return {"columns": list(few), "data": data}


def _value(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _libraries(bundle: Bundle) -> dict[str, str]:
    return {name: version for name, version in bundle.manifest.libraries.items() if version and " " not in version}


def _yaml(document: dict[str, Any]) -> bytes:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("mlflow", "write an MLflow model", missing=error.name) from error
    return str(yaml.safe_dump(document, sort_keys=True, allow_unicode=True)).encode()
