"""Keras models: `.keras` files by Keras 3, HDF5 by the Keras that wrote it (tf_keras for 2). In a model process."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.errors import CorruptModel, MissingExtra, UnsafeModel
from servable.runtimes import graph, verified, zipped
from servable.runtimes.agreement import agree
from servable.runtimes.content import BROKEN_ZIP, entries
from servable.runtimes.devices import only_cpu
from servable.runtimes.keras_config import judge

_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_ZIP: Final = b"PK\x03\x04"
LARGEST_CONFIG: Final = 64 << 20


class KerasRuntime:
    """The plugin."""

    name = "keras"
    platform = "keras"
    isolated = True

    def recognises(self, path: Path, head: bytes) -> bool:
        if head.startswith(_HDF5):
            return True
        if not head.startswith(_ZIP) or not path.is_file():
            return False
        return {"config.json", "metadata.json"} <= set(entries(path) or ())

    def inspect(self, path: Path) -> Inspection:
        """The model's inputs and outputs; whether rows may be joined is tried out. Loads what holds no code."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CorruptModel(f"cannot read {path.name!r}: {error.strerror or error}") from error
        call, inputs, outputs, version = _function(data, path, path.name)
        return Inspection(graph.signature_of(call, inputs, outputs), libraries={"keras": version})

    def traced(self, path: Path) -> graph.Traced:
        """The model as one function, for conversion. Raises as `inspect` does."""
        return _traced(path.read_bytes(), path, path.name)[0]

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("Keras models", device, "convert to ONNX to use a GPU")
        call, inputs, outputs, _ = _function(verified.read(bundle), bundle.model_path, bundle.manifest.model)
        agree(bundle, inputs, outputs)
        return graph.GraphModel(call, bundle.signature)


def _traced(data: bytes, path: Path, name: str) -> tuple[graph.Traced, str]:
    """The model as one function, and the version of Keras that wrote the file."""
    library = graph.tensorflow(name)
    config, version = _zipped(data, name) if data.startswith(_ZIP) else _stored(data, name)
    judge(config, name)
    old = not version.startswith("3")
    model = _loaded(path, name, old=old)
    if not getattr(model, "inputs", None):
        raise CorruptModel(f"{name!r} does not say what it takes: build the model (call it once) before saving it")
    keys = [_plain(each.name) for each in model.inputs]
    outputs_of = [str(key) for key in getattr(model, "output_names", [])] or ["output"]
    specs = [library.TensorSpec(each.shape, each.dtype, name=key) for each, key in zip(model.inputs, keys, strict=True)]

    @library.function(input_signature=specs)  # type: ignore[untyped-decorator]
    def run(*tensors: Any) -> Any:
        found = model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)
        return found if isinstance(found, (list, tuple)) else [found]

    return graph.Traced(run, specs, keys, outputs_of), version


def _function(data: bytes, path: Path, name: str) -> tuple[graph.Call, tuple[Field, ...], tuple[Field, ...], str]:
    """What predicts, its inputs and outputs, and the version of Keras that wrote the file."""
    library = graph.tensorflow(name)
    (run, specs, keys, outputs_of), version = _traced(data, path, name)
    made = run.get_concrete_function()
    inputs = tuple(graph.field(key, spec, name) for key, spec in zip(keys, specs, strict=True))
    outputs = tuple(graph.field(key, spec, name) for key, spec in zip(outputs_of, made.structured_outputs, strict=True))

    def call(columns: Mapping[str, Array]) -> dict[str, Array]:
        tensors = [
            library.constant(graph.sent(columns[key]), spec.dtype) for key, spec in zip(keys, specs, strict=True)
        ]
        answers = made(*tensors)
        return {key: graph.received(np.asarray(each.numpy())) for key, each in zip(outputs_of, answers, strict=True)}

    return call, inputs, outputs, version


def _loaded(path: Path, name: str, *, old: bool) -> Any:
    try:
        if old:
            import tf_keras as keras
        else:
            import keras
    except ImportError as error:
        raise MissingExtra("tensorflow", f"load {name!r}, which Keras {'2' if old else '3'} wrote") from error
    try:
        return keras.models.load_model(str(path), compile=False, safe_mode=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        if "unsafe" in reason or "Lambda" in reason:
            raise UnsafeModel(f"{name!r} holds code: {reason}") from error
        raise CorruptModel(f"keras {keras.__version__} cannot load {name!r}: {reason}") from error


def _zipped(data: bytes, name: str) -> tuple[Any, str]:
    """Configuration and version of a `.keras` file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            zipped.judge(archive, len(data), name)
            if archive.getinfo("config.json").file_size > LARGEST_CONFIG:
                raise CorruptModel(f"{name!r}: its config.json is larger than {LARGEST_CONFIG >> 20} MiB")
            weights = [entry for entry in archive.namelist() if entry.endswith(".h5")]
            for held in weights:
                _own_data(archive.read(held), name)
            config = msgspec.json.decode(archive.read("config.json"))
            metadata = msgspec.json.decode(archive.read("metadata.json"))
            return config, str(metadata.get("keras_version", "3"))
    except (*BROKEN_ZIP, AttributeError) as error:
        raise CorruptModel(f"{name!r} is a broken or cut off Keras file: {error}") from error


def _stored(data: bytes, name: str) -> tuple[Any, str]:
    """Configuration and version of an HDF5 file."""
    import h5py

    _own_data(data, name)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            config, version = file.attrs.get("model_config"), file.attrs.get("keras_version", "2")
    except Exception as error:
        raise CorruptModel(f"{name!r} is a broken or cut off HDF5 file: {error}") from error
    if config is None:
        raise CorruptModel(
            f"{name!r} is an HDF5 file without a model: of Keras, it holds weights only. Save the whole model"
        )
    raw = config if isinstance(config, (str, bytes)) else bytes(config)
    try:
        return msgspec.json.decode(raw), version.decode() if isinstance(version, bytes) else str(version)
    except msgspec.DecodeError as error:
        raise CorruptModel(f"{name!r} is a broken Keras model: its configuration is no JSON: {error}") from error


def _own_data(data: bytes, name: str) -> None:
    """Raise UnsafeModel where an HDF5 file takes data from other files. Raises CorruptModel."""
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            waiting = [file["/"]]
            while waiting:
                group = waiting.pop()
                for key in group:
                    link = group.get(key, getlink=True)
                    if isinstance(link, h5py.SoftLink):
                        continue
                    outside = isinstance(link, h5py.ExternalLink)
                    item = None if outside else group[key]
                    if outside or (isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)):
                        raise UnsafeModel(
                            f"{name!r} takes {key!r} from another file. Nothing was loaded: save it whole"
                        )
                    if isinstance(item, h5py.Group):
                        waiting.append(item)
    except UnsafeModel:
        raise
    except Exception as error:
        raise CorruptModel(f"{name!r} is a broken or cut off HDF5 file: {error}") from error


def _plain(name: str) -> str:
    """A tensor's name without its place: `input_1:0` is `input_1`."""
    return name.partition(":")[0]
