"""The end of a network that reads texts, as ONNX: from its numbers to the outputs that the server gives. Classes get
their names, so that whoever runs the network needs none.

What it has to equal is `answers` of `runtimes/huggingface/encoders.py`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from servable.runtimes.classes import LABEL, PREDICTION, PROBABILITIES
from servable.runtimes.huggingface.encoders import EMBEDDING
from servable.runtimes.huggingface.folder import Folder

NUMBERS: Final = "numbers of classes"
_NAMES: Final = "names of classes"
_HIGHEST: Final = "highest class"
_FLAT: Final = "one axis"


def numbers_name(folder: Folder) -> str:
    """What the network's own output is to be called."""
    return NUMBERS if folder.labels else EMBEDDING


def add_head(graph: Any, folder: Folder) -> None:
    """Put the outputs of a classifier or a regression in the place of the graph's numbers [texts, classes]."""
    if not folder.labels:
        return
    from onnx import TensorProto, helper, numpy_helper

    del graph.output[:]
    if len(folder.labels) == 1:
        graph.initializer.append(helper.make_tensor(_FLAT, TensorProto.INT64, [1], [-1]))
        graph.node.append(helper.make_node("Reshape", [NUMBERS, _FLAT], [PREDICTION]))
        graph.output.append(helper.make_tensor_value_info(PREDICTION, TensorProto.FLOAT, ["texts"]))
        return
    if not folder.several:
        graph.initializer.append(numpy_helper.from_array(np.array(folder.labels, object), _NAMES))
        graph.node.append(helper.make_node("ArgMax", [NUMBERS], [_HIGHEST], axis=1, keepdims=0))
        graph.node.append(helper.make_node("Gather", [_NAMES, _HIGHEST], [LABEL]))
        graph.output.append(helper.make_tensor_value_info(LABEL, TensorProto.STRING, ["texts"]))
    shares = (
        helper.make_node("Sigmoid", [NUMBERS], [PROBABILITIES])
        if folder.several
        else helper.make_node("Softmax", [NUMBERS], [PROBABILITIES], axis=1)
    )
    graph.node.append(shares)
    shape: list[str | int | None] = ["texts", len(folder.labels)]
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape))
