"""TensorFlow SavedModels, by tensorflow: a folder with `saved_model.pb`. Runs in a model process.

One signature is served: `serving_default`, or the one that `options.signature` of the manifest names.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array
from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.errors import CorruptModel
from servable.runtimes import graph, saved_model, verified
from servable.runtimes.agreement import agree
from servable.runtimes.devices import only_cpu

PREFERRED: Final = "serving_default"


class TensorFlowRuntime:
    """The plugin."""

    name = "tensorflow"
    platform = "tensorflow_savedmodel"
    isolated = True

    def recognises(self, path: Path, head: bytes) -> bool:
        return not head and (path / saved_model.FILE).is_file()

    def inspect(self, path: Path) -> Inspection:
        """The default signature; whether rows may be joined is tried out. Loads the model."""
        try:
            data = (path / saved_model.FILE).read_bytes()
        except OSError as error:
            raise CorruptModel(f"cannot read {path.name!r}: {error.strerror or error}") from error
        file = saved_model.read(data, path.name)
        chosen = PREFERRED if PREFERRED in file.signatures else file.signatures[0]
        call, inputs, outputs = _function(path, chosen, path.name, ExitStack())
        return Inspection(
            graph.signature_of(call, inputs, outputs),
            libraries={"tensorflow": file.version} if file.version else {},
            options={"signature": chosen},
        )

    def traced(self, path: Path) -> graph.Traced:
        """The default signature as one function, for conversion. Raises as `inspect` does."""
        file = saved_model.read((path / saved_model.FILE).read_bytes(), path.name)
        chosen = PREFERRED if PREFERRED in file.signatures else file.signatures[0]
        loaded, function = _signature(path, chosen, path.name)
        specs = sorted(function.structured_input_signature[1].items())
        inputs, outputs = [key for key, _ in specs], sorted(function.structured_outputs)
        taken = [graph.spec_of(key, spec) for key, spec in specs]

        @graph.tensorflow(path.name).function(input_signature=taken)  # type: ignore[untyped-decorator]
        def run(*tensors: Any) -> Any:
            _keep: Any = loaded  # the function holds its variables weakly
            found = function(**dict(zip(inputs, tensors, strict=True)))
            return [found[key] for key in outputs]

        return graph.Traced(run, taken, inputs, outputs)

    def load(self, bundle: Bundle, device: str = "cpu") -> Model:
        only_cpu("TensorFlow models", device, "convert to ONNX to use a GPU")
        name = bundle.manifest.model
        file = saved_model.read(verified.read(bundle, bundle.model_path / saved_model.FILE), name)
        chosen = str(bundle.manifest.options.get("signature", PREFERRED))
        if chosen not in file.signatures:
            raise CorruptModel(f"{name!r} has no signature {chosen!r}: it has {', '.join(map(repr, file.signatures))}")
        with ExitStack() as kept:
            call, inputs, outputs = _function(kept.enter_context(verified.copied(bundle)), chosen, name, kept.pop_all())
        agree(bundle, inputs, outputs)
        return graph.GraphModel(call, bundle.signature)


def _function(
    path: Path, chosen: str, name: str, kept: ExitStack
) -> tuple[graph.Call, tuple[Field, ...], tuple[Field, ...]]:
    """The signature's function, its inputs and its outputs. `kept`: what lies at `path`, read at any time."""
    library = graph.tensorflow(name)
    loaded, function = _signature(path, chosen, name)
    specs = function.structured_input_signature[1]
    inputs = tuple(graph.field(key, spec, name) for key, spec in sorted(specs.items()))
    outputs = tuple(graph.field(key, spec, name) for key, spec in sorted(function.structured_outputs.items()))

    def call(columns: Mapping[str, Array]) -> dict[str, Array]:
        _keep: Any = (loaded, kept)  # the function holds its variables weakly
        feeds = {key: library.constant(graph.sent(columns[key]), dtype=spec.dtype) for key, spec in specs.items()}
        return {key: graph.received(np.asarray(value.numpy())) for key, value in function(**feeds).items()}

    return call, inputs, outputs


def _signature(path: Path, chosen: str, name: str) -> tuple[Any, Any]:
    """The loaded model, and its function. Raises CorruptModel."""
    library = graph.tensorflow(name)
    try:
        loaded = library.saved_model.load(str(path), tags=["serve"])
        return loaded, loaded.signatures[chosen]
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise CorruptModel(f"tensorflow {library.__version__} cannot load {name!r}: {reason}") from error
