"""The graph of a module of PyTorch, as its own exporter writes it, between the inputs and outputs of the learner."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from onnx import TensorProto

from servable.domain.signature import Signature
from servable.errors import ConversionRejected, MissingExtra
from servable.online.frozen.graph import OPSETS, Graph
from servable.online.learners.torch import TorchLearner
from servable.runtimes.classes import PREDICTION


def graph_of(learner: TorchLearner, signature: Signature) -> bytes:
    """The ONNX file. Raises ConversionRejected, MissingExtra."""
    width = sum(int(np.prod(field.shape[1:], dtype=np.int64)) for field in signature.inputs)
    made = _exported(learner.trained, width)
    graph = Graph(signature)
    (told,) = graph.inlined(made, **{made.graph.input[0].name: graph.matrix(TensorProto.FLOAT)})
    if not learner.classes:
        flat = graph.node("Reshape", told, graph.constant([-1], np.int64))
        return graph.finished({PREDICTION: graph.node("Cast", flat, to=TensorProto.DOUBLE)})
    shares = graph.node("Cast", graph.node("Softmax", told, axis=1), to=TensorProto.DOUBLE)
    return graph.finished(graph.classified(shares, learner.classes))


def _exported(module: Any, width: int) -> Any:
    """Rows of numbers in, what the module tells of them out."""
    try:
        import onnxscript  # noqa: F401 - torch's exporter wants it
        import torch
    except ImportError as error:
        raise MissingExtra("convert", "convert a module to ONNX", missing=error.name) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = {0: torch.export.Dim("rows")}
            program = torch.export.export(module.eval(), (torch.zeros(2, width),), dynamic_shapes=(rows,))
            made = torch.onnx.export(program, (), opset_version=OPSETS[""], dynamo=True, verbose=False)
    except Exception as error:  # a wall: exporters raise anything for what they do not know
        raise ConversionRejected(f"torch cannot export the module: {' '.join(str(error).split())[:300]}") from error
    if made is None:
        raise ConversionRejected("torch gave nothing")
    return made.model_proto
