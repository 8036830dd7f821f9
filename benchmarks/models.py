"""The three models that are served, as ONNX files: trees, a dense network, a small MobileNet. Made once, then cached.

The networks have random weights of a sensible scale: what they cost is measured here, not what they know.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CACHE: Final = Path(__file__).resolve().parent.parent / ".cache" / "bench"
OPSET: Final = 17
IR_VERSION: Final = 8
"""Old enough for the onnxruntime of every peer."""

DENSE_LAYERS: Final = (30, 680, 680, 2)
LARGE_LAYERS: Final = (30, 9_984, 9_984, 2)
"""2 x (30 x 680 + 680 x 680 + 680 x 2) = 0.97 million floating-point operations a row."""

MOBILE_WIDTH: Final = 40
MOBILE_BLOCKS: Final = (
    (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1), (16, 1), (16, 1), (16, 1), (16, 1), (32, 2), (32, 1),
)  # fmt: skip
"""The 13 depthwise-separable blocks of MobileNet v1 (arXiv:1704.04861, table 1): (times the stem's width, stride)."""

Array = np.ndarray[Any, np.dtype[Any]]


def trees() -> Path:
    """Gradient boosting on the breast-cancer data: x [-1, 30] -> label, probabilities [-1, 2]."""
    return _cached("trees", _trees)


def dense() -> Path:
    """A multilayer perceptron of about 1 MFLOP a row: x [-1, 30] -> probabilities [-1, 2]."""
    return _cached("dense", _dense)


def large() -> Path:
    """A network of 400 MB of weights: x [-1, 30] -> probabilities [-1, 2]."""
    return _cached("large", _large)


def mobile() -> Path:
    """MobileNet v1 on small images, some 2 ms a call on one thread: image [-1, 3, 32, 32] -> probabilities [-1, 10]."""
    return _cached("mobile", _mobile)


def _cached(name: str, build: Callable[[], bytes]) -> Path:
    path = CACHE / "models" / f"{name}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(build())
        part.rename(path)
    return path


def _trees() -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier

    x, y = load_breast_cancer(return_X_y=True)
    model = GradientBoostingClassifier(random_state=0).fit(x, y)
    types = [("x", FloatTensorType([None, x.shape[1]]))]
    converted = to_onnx(model, initial_types=types, options={id(model): {"zipmap": False}}, target_opset=OPSET)
    converted.ir_version = IR_VERSION
    return bytes(converted.SerializeToString())


class _Graph:
    """An ONNX graph under construction: each method adds one layer and returns the name of its output."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)

    def layer(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(self, shape: tuple[int, ...], fan_in: int) -> str:
        values = self.random.standard_normal(shape) * np.sqrt(2 / fan_in)
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def convolution(self, x: str, channels: tuple[int, int], kernel: int, stride: int = 1, group: int = 1) -> str:
        fan_in = channels[0] // group * kernel * kernel
        weight = self.weight((channels[1], channels[0] // group, kernel, kernel), fan_in)
        square, pads = [kernel, kernel], [kernel // 2] * 4
        y = self.layer("Conv", [x, weight], kernel_shape=square, strides=[stride, stride], pads=pads, group=group)
        return self.layer("Relu", [y])

    def bytes(self, source: str, shape: list[str | int], classes: int) -> bytes:
        """The finished model, from the input `source` to the output `probabilities`."""
        graph = helper.make_graph(
            self.nodes,
            "benchmark",
            [helper.make_tensor_value_info(source, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", classes])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def _dense() -> bytes:
    return _perceptron(DENSE_LAYERS)


def _large() -> bytes:
    return _perceptron(LARGE_LAYERS)


def _perceptron(layers: tuple[int, ...]) -> bytes:
    graph = _Graph(seed=0)
    x = "x"
    for before, after in pairwise(layers):
        last = after == layers[-1]
        x = graph.layer("MatMul", [x, graph.weight((before, after), before * (50 if last else 1))])
        x = x if last else graph.layer("Relu", [x])
    graph.layer("Softmax", [x], "probabilities")
    return graph.bytes("x", ["rows", layers[0]], layers[-1])


def _mobile() -> bytes:
    graph = _Graph(seed=0)
    width = MOBILE_WIDTH
    x = graph.convolution("image", (3, width), 3)
    for multiple, stride in MOBILE_BLOCKS:
        x = graph.convolution(x, (width, width), 3, stride, group=width)
        x = graph.convolution(x, (width, MOBILE_WIDTH * multiple), 1)
        width = MOBILE_WIDTH * multiple
    x = graph.layer("Flatten", [graph.layer("GlobalAveragePool", [x])])
    graph.layer("Softmax", [graph.layer("MatMul", [x, graph.weight((width, 10), width)])], "probabilities")
    return graph.bytes("image", ["rows", 3, 32, 32], 10)
