"""Conversion of a TensorFlow, Keras or PyTorch file to ONNX, under its own names. Not trusted until it is proven.

Imported only while packing: it needs tf2onnx or onnxscript beside the format's own library.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

from servable.errors import ConversionRejected, MissingExtra, ServableError
from servable.runtimes.find import runtime

OPSET: Final = 18
"""The newest that tf2onnx writes; torch's exporter writes none that is older."""
CONVERTIBLE: Final = frozenset({"tensorflow", "keras", "pytorch"})


def to_onnx(kind: str, path: Path) -> bytes:
    """The model as an ONNX file with the names of its inputs and outputs. Raises ConversionRejected (with the
    converter's reason), MissingExtra.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto, inputs, outputs = _torch(path) if kind == "pytorch" else _tensorflow(kind, path)
    except ServableError:
        raise
    except Exception as error:  # a wall: converters raise anything for what they do not know
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConversionRejected(f"to ONNX: {reason}") from error
    name_tensors(proto.graph, inputs, outputs)
    return bytes(proto.SerializeToString())


def _tensorflow(kind: str, path: Path) -> tuple[Any, list[str], list[str]]:
    traced = runtime(kind).traced(path)  # type: ignore[attr-defined] # both of its formats have it
    try:
        import tf2onnx
    except ImportError as error:
        raise MissingExtra("convert", f"convert {path.name!r} to ONNX", missing=error.name) from error
    proto, _ = tf2onnx.convert.from_function(traced.function, input_signature=traced.specs, opset=OPSET)
    _hold(proto.graph, traced.function.get_concrete_function())
    return proto, traced.inputs, traced.outputs


def _hold(graph: Any, function: Any) -> None:
    """Put the tensors that the function took from around it into the graph: tf2onnx does so with variables only."""
    from onnx import numpy_helper

    around = {inner.name: outer for outer, inner in function.graph.captures if outer.dtype.name != "resource"}
    for value in [value for value in graph.input if value.name in around]:
        graph.initializer.append(numpy_helper.from_array(around[value.name].numpy(), value.name))
        graph.input.remove(value)


def _torch(path: Path) -> tuple[Any, list[str], list[str]]:
    from servable.runtimes.pytorch import Program

    program = Program(path.read_bytes(), path.name)
    try:
        import onnxscript  # noqa: F401 - torch's exporter wants it
        import torch
    except ImportError as error:
        raise MissingExtra("convert", f"convert {path.name!r} to ONNX", missing=error.name) from error
    made = torch.onnx.export(program.exported, (), opset_version=OPSET, dynamo=True, verbose=False)
    if made is None:
        raise ConversionRejected("to ONNX: torch gave nothing")
    return made.model_proto, [field.name for field in program.inputs], [field.name for field in program.outputs]


def name_tensors(graph: Any, inputs: list[str], outputs: list[str]) -> None:
    """Give the graph's inputs and outputs the model's own names, by their order. Raises ConversionRejected."""
    held = {constant.name for constant in graph.initializer}
    given = [value for value in graph.input if value.name not in held]
    if len(given) != len(inputs) or len(graph.output) != len(outputs):
        raise ConversionRejected("to ONNX: the converted graph has other inputs or outputs than the model")
    wanted = [*zip(given, inputs, strict=True), *zip(graph.output, outputs, strict=True)]
    for value, name in wanted:
        if value.name != name:
            _rename(graph, name, f"{name}_inside")  # whatever else goes by this name
            _rename(graph, value.name, name)


def _rename(graph: Any, old: str, new: str) -> None:
    """Give a tensor another name, wherever it is used: in the graphs inside of nodes as well."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        if value.name == old:
            value.name = new
    for node in graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
        node.input[:] = [new if name == old else name for name in node.input]
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _rename(inner, old, new)
