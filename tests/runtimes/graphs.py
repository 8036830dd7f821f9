"""Small ONNX graphs for what real files do: any nodes, inputs, outputs and weights, in a line."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

KINDS = {
    "float": TensorProto.FLOAT, "double": TensorProto.DOUBLE, "half": TensorProto.FLOAT16, "int": TensorProto.INT64,
    "text": TensorProto.STRING, "bool": TensorProto.BOOL, "brain": TensorProto.BFLOAT16,
}  # fmt: skip


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, KINDS[kind], shape)


def graph(nodes, inputs, outputs, weights=(), *, opset=20, ir=10, ml=None):
    made = helper.make_graph(nodes, "made", inputs, outputs, list(weights))
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid("ai.onnx.ml", ml)] if ml else [])]
    return helper.make_model(made, opset_imports=opsets, ir_version=ir)


def saved(path: Path, model) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def outside(name, location, numbers=4):
    """A weight [2, 2] whose numbers lie in another file."""
    tensor = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2, 2], data_location=1)
    for key, text in (("location", location), ("offset", "0"), ("length", str(4 * numbers))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    return tensor


def product(location):
    """y = x · weight, the weight in another file."""
    return graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"])],
        [value("x", "float", ["rows", 2])],
        [value("y", "float", ["rows", 2])],
        [outside("weight", location)],
    )
