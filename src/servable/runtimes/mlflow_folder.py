"""What an MLflow model folder says of itself (`MLmodel`): the file that is the model, its columns, an example.

Read without MLflow. The model file's own format is decided by its content, as everywhere; a folder that only MLflow can
load (a `python_function` of code of its own) is its own model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from servable.domain.bundle import MANIFEST
from servable.domain.field import Field
from servable.errors import CorruptModel, IncompatibleModel, MissingExtra

FILE: Final = "MLmodel"
BUNDLE: Final = "bundle"
"""Where an exported bundle lies in its MLflow folder (`bundles/mlflow_export.py`)."""
LARGEST_BYTES: Final = 16 << 20
_PLACES: Final = {
    "sklearn": "pickled_model", "xgboost": "data", "lightgbm": "data", "catboost": "data", "onnx": "data",
    "tensorflow": "data", "keras": "data", "pytorch": "model_data",
}  # fmt: skip
"""Flavours whose model is a file of another format, and the key that names it."""
_INSIDE: Final = ("model.keras", "model.h5", "model", "model.pt2", "model.pth", "saved_model.pb")
"""What a flavour's folder of data holds, first to last."""
_DATATYPES: Final = {
    "double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "boolean": "BOOL", "string": "BYTES",
    "datetime": "BYTES",
}  # fmt: skip


class MLflowFolder(msgspec.Struct, frozen=True):
    """`model` is the file (or folder) that is the model: the folder itself where only MLflow can load it. `inputs`: one
    field a column, where there are columns. `example`: the rows it was saved with; None where there are none.
    """

    model: Path
    inputs: tuple[Field, ...] = ()
    example: Path | None = None
    version: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(field.name for field in self.inputs)


def is_mlflow(path: Path) -> bool:
    """Whether the folder is an MLflow model."""
    return path.is_dir() and (path / FILE).is_file()


def exported(path: Path) -> Path | None:
    """The bundle inside the folder, if it is an exported one."""
    within = path / BUNDLE
    return within if is_mlflow(path) and (within / MANIFEST).is_file() else None


def read(path: Path) -> MLflowFolder:
    """Read the folder. Raises CorruptModel, IncompatibleModel, MissingExtra."""
    stated = _yaml(path / FILE)
    flavors = stated.get("flavors") if isinstance(stated, dict) else None
    if not isinstance(flavors, dict) or not flavors:
        raise CorruptModel(f"{path.name!r}: its MLmodel names no flavours")
    signature = stated.get("signature") or {}
    inputs = _inputs(signature.get("inputs") if isinstance(signature, dict) else None, path.name)
    info = stated.get("saved_input_example_info") or {}
    example = _within(path, info.get("artifact_path")) if isinstance(info, dict) else None
    return MLflowFolder(_model(path, flavors), inputs, example, str(stated.get("mlflow_version", "")))


def _model(path: Path, flavors: dict[str, Any]) -> Path:
    for flavor, key in _PLACES.items():
        stated = flavors.get(flavor)
        if not isinstance(stated, dict):
            continue
        place = stated.get(key) or stated.get("data") or stated.get("saved_model_dir")
        found = _within(path, place)
        if found is None:
            raise CorruptModel(f"{path.name!r}: its MLmodel says that the model is {place!r}, which is not there")
        if found.is_dir():
            return next((found / name for name in _INSIDE if (found / name).exists()), found)
        return found
    if "python_function" in flavors:
        return path
    raise IncompatibleModel(
        f"{path.name!r} has the flavours {', '.join(map(str, flavors))}, none of which is served: save it as ONNX, or "
        "as a python_function"
    )


def _within(path: Path, place: Any) -> Path | None:
    """A file of the folder; None where there is none. Raises CorruptModel for a path that leads out of it."""
    if not isinstance(place, str) or not place:
        return None
    found = (path / place).resolve()
    if not found.is_relative_to(path.resolve()):
        raise CorruptModel(f"{path.name!r}: its MLmodel leads out of the folder: {place!r}. Nothing was loaded")
    return found if found.exists() else None


def _inputs(text: Any, name: str) -> tuple[Field, ...]:
    """A field for each column of the signature; none where it speaks of tensors."""
    if not text:
        return ()
    try:
        columns = msgspec.json.decode(text)
        if any(column["type"] == "tensor" for column in columns):
            return ()
        return tuple(
            Field(
                column["name"],
                _DATATYPES[column["type"]],
                (-1, 1),
                values="finite" if column.get("required", True) or column["type"] not in _MAY_LACK else "missing",
                content="date" if column["type"] == "datetime" else "",
            )
            for column in columns
        )
    except (msgspec.DecodeError, TypeError, KeyError, ValueError) as error:
        raise CorruptModel(f"{name!r}: the signature in its MLmodel is not understood: {error}") from error


_MAY_LACK: Final = frozenset({"double", "float", "string", "datetime"})


def _yaml(path: Path) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("mlflow", f"read {path.name!r}", missing=error.name) from error
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise CorruptModel(f"{path.name!r} is larger than {LARGEST_BYTES >> 20} MiB")
        return yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CorruptModel(f"{path.name!r} of {path.parent.name!r} is broken or cut off: {reason}") from error
