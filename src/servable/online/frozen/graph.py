"""Graph: an ONNX graph under the contract of a learner: its inputs brought into one matrix, its answers made of scores.

In double precision, as learners reckon. Imported only where a learner is converted: it needs onnx.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from onnx import TensorProto, compose, helper, numpy_helper

from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.online.learners.features import NUMBERS

OPSETS: Final = {"": 18, "ai.onnx.ml": 3}
"""As packing writes them: old enough for the runtimes of devices."""
ROWS: Final = "rows"


class Graph:
    """Nodes in their order, and constants. Tensors go by their names."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._opsets = dict(OPSETS)
        self._names = 0

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node; the name of what it gives."""
        name = self._name()
        self._nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name

    def constant(self, values: Any, kind: Any = np.float64) -> str:
        """The name of a constant; of texts with `kind` object."""
        name = self._name()
        self._constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def matrix(self, kind: int = TensorProto.DOUBLE) -> str:
        """All numbers side by side in the order of the inputs: [rows, n]."""
        parts = []
        for field in self.signature.inputs:
            if field.datatype in NUMBERS:
                width = self.constant([-1, int(np.prod(field.shape[1:], dtype=np.int64))], np.int64)
                parts.append(self.node("Reshape", self.node("Cast", field.name, to=kind), width))
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)

    def inlined(self, model: Any, **inputs: str) -> list[str]:
        """Another model's graph in this one, fed with these tensors; the names of what it gives."""
        prefix = f"{self._name()}_"
        within = compose.add_prefix(model, prefix)
        self._nodes += [helper.make_node("Identity", [ours], [prefix + its]) for its, ours in inputs.items()]
        self._nodes += within.graph.node
        self._constants += within.graph.initializer
        self._opsets |= {opset.domain: opset.version for opset in within.opset_import}
        return [value.name for value in within.graph.output]

    def classified(self, shares: str, classes: Sequence[Any]) -> dict[str, str]:
        """The outputs of a classifier, from the probabilities of its classes: [rows, k]."""
        place = self.node("ArgMax", shares, axis=1, keepdims=0)
        kind = object if isinstance(classes[0], str) else np.int64
        return {"label": self.node("Gather", self.constant(classes, kind), place), "probabilities": shares}

    def finished(self, outputs: dict[str, str]) -> bytes:
        """The model, whose outputs are these tensors by the names of the signature."""
        self._nodes += [helper.make_node("Identity", [made], [name]) for name, made in outputs.items()]
        graph = helper.make_graph(
            self._nodes, "frozen",
            [_value(field) for field in self.signature.inputs],
            [_value(field) for field in self.signature.outputs],
            self._constants,
        )  # fmt: skip
        opsets = [helper.make_opsetid(domain, version) for domain, version in self._opsets.items()]
        proto = helper.make_model(graph, opset_imports=opsets, producer_name="servable")
        proto.ir_version = 8
        return bytes(proto.SerializeToString())

    def _name(self) -> str:
        self._names += 1
        return f"t{self._names}_"  # no input of a learner that is like it, or onnxruntime tells


def _value(field: Field) -> Any:
    kind = TensorProto.STRING if field.datatype == "BYTES" else helper.np_dtype_to_tensor_dtype(field.dtype)
    return helper.make_tensor_value_info(field.name, kind, [ROWS, *field.shape[1:]])
