"""Conversion of a TensorFlow or Keras file to TFLite, under its own names. Not trusted until it is proven.

It runs the model's own library: behind walls only, in the process that `elsewhere/` starts. For devices: what is served
goes to ONNX (`convert_network.py`).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from servable.domain.batch import Array, Batch
from servable.errors import ConversionRejected, ServableError
from servable.runtimes import graph
from servable.runtimes.find import runtime

CONVERTIBLE: Final = frozenset({"keras", "tensorflow"})
Narrowed = Literal["", "float16", "int8", "int8-static"]
"""What becomes of the weights (half the bytes; a quarter), and of the arithmetic between them: in `int8` its scales are
found in each call, in `int8-static` they are fixed by rows that were seen before. Inputs and outputs stay as they are.
"""
MOST_CALIBRATING: Final = 200
"""Rows that scales are taken from; their extremes settle early."""
_LACKING: Final = re.compile(r"(?:TF Select|Flex|Custom) ops: ([\w, ]+)")
"""How the converter names the operators that TFLite has not."""


def to_tflite(kind: str, path: Path, signature: str, narrowed: Narrowed = "", rows: Batch | None = None) -> bytes:
    """The model as a TFLite file of built-in operators, with one signature of that name. `int8-static` needs rows.
    Raises ConversionRejected (with the converter's reason), MissingExtra.
    """
    try:
        return _converted(runtime(kind).traced(path), path, signature, narrowed, rows)  # type: ignore[attr-defined] # both kinds have it
    except ServableError:
        raise
    except Exception as error:  # a wall: the converter raises anything for what it does not know
        lacking = sorted({name for found in _LACKING.findall(str(error)) for name in found.split(", ")})
        reason = f"TFLite has no {', '.join(lacking)}" if lacking else " ".join(str(error).split())[:300]
        raise ConversionRejected(f"to TFLite: {reason or type(error).__name__}") from error


def _converted(traced: graph.Traced, path: Path, signature: str, narrowed: Narrowed, rows: Batch | None) -> bytes:
    library = graph.tensorflow(path.name)

    @library.function(input_signature=traced.specs)  # type: ignore[untyped-decorator]
    def named(*tensors: Any) -> Any:
        return dict(zip(traced.outputs, traced.function(*tensors), strict=True))

    made = named.get_concrete_function()
    module = library.Module()
    module.named = named
    module.held = list(made.variables)  # what is saved is what the module holds
    with tempfile.TemporaryDirectory() as folder:  # the names of inputs and outputs go by a SavedModel's signature
        library.saved_model.save(module, folder, signatures={signature: made})
        converter = library.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[signature])
        if narrowed:
            converter.optimizations = [library.lite.Optimize.DEFAULT]
        if narrowed == "float16":
            converter.target_spec.supported_types = [library.float16]
        if narrowed == "int8-static":
            if rows is None or not rows.rows:
                raise ConversionRejected("to TFLite in int8-static: there are no rows that show what numbers to expect")
            converter.representative_dataset = lambda: _one_by_one(rows, traced.inputs)
            converter.target_spec.supported_ops = [library.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return bytes(converter.convert())


def _one_by_one(rows: Batch, names: list[str]) -> Iterator[dict[str, Array]]:
    for at in range(min(rows.rows, MOST_CALIBRATING)):
        row = rows.slice(at, at + 1)
        yield {name: row[name] for name in names}
