"""Finishes a converted graph: outputs by our names and axes.

skl2onnx names outputs in its own way, gives a regression two axes and a decision two columns, and states types that are
not always those of the graph. Imported only while converting: it needs onnx.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from servable.bundles import onnx_trees
from servable.domain.batch import Array, Batch
from servable.runtimes.classes import LABEL
from servable.runtimes.onnx_locale import settled

_TYPES: Final = {"f4": TensorProto.FLOAT, "f8": TensorProto.DOUBLE, "i8": TensorProto.INT64, "b1": TensorProto.BOOL}
_OPSETS: Final = {"ai.onnx.ml": 3}
"""Trees with float64 thresholds came with this version; it changed nothing else."""


def fit(proto: Any, estimator: Any, expected: Batch, inputs: Batch, *, double: bool) -> bytes:
    """The graph with the inputs of `inputs`, which are rows to try it on, and exactly the outputs of `expected`, the
    answer to them. Inputs are taken in order. Raises whatever is wrong.
    """
    graph = proto.graph
    if clash := set(inputs.columns) & set(expected.columns):
        raise ValueError(f"a column and an output have the same name: {', '.join(sorted(clash))}")
    for value, name in zip(graph.input, inputs.columns, strict=True):
        _renamed(graph, value.name, name)
        value.name = name
    onnx_trees.finish(graph, estimator, double=double)
    for opset in proto.opset_import:
        opset.version = max(opset.version, _OPSETS.get(opset.domain, 1))
    del graph.value_info[:]
    names = [_renamed(graph, output.name, f"{output.name}_found") for output in graph.output]
    _declare(graph, names)
    found = dict(zip(names, _run(proto, names, inputs), strict=True))
    sources = _sources(names, list(expected.columns))
    ends = {name: _finished(graph, source, found[source], expected[name], name) for name, source in sources.items()}
    del graph.output[:]
    for wanted, name in ends.items():
        _renamed(graph, name, wanted)
        array = expected[wanted]
        kind = TensorProto.STRING if array.dtype == object else _kind(array, found[sources[wanted]])
        graph.output.append(helper.make_tensor_value_info(wanted, kind, [None, *array.shape[1:]]))
    return bytes(proto.SerializeToString())


def _renamed(graph: Any, old: str, new: str) -> str:
    """Give a tensor that a node makes another name, wherever it is used."""
    for node in graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
        node.input[:] = [new if name == old else name for name in node.input]
    return new


def _sources(names: list[str], wanted: list[str]) -> dict[str, str]:
    """Which output of the graph is which of ours: the label first, then the numbers."""
    if len(names) < len(wanted):
        raise ValueError(f"the converted graph has outputs {names}, expected {wanted}")
    return dict(zip(wanted, names, strict=False))


def _declare(graph: Any, names: list[str]) -> None:
    """Outputs without a stated type: onnxruntime then tells the true one."""
    del graph.output[:]
    for name in names:
        value = onnx.ValueInfoProto()
        value.name = name
        graph.output.append(value)


def _run(proto: Any, names: list[str], inputs: Batch) -> list[Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        settled(proto.SerializeToString()), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(array) for array in session.run(names, dict(inputs.columns))]


def _finished(graph: Any, source: str, found: Array, expected: Array, wanted: str) -> str:
    """The name of a tensor like `found` with the axes of `expected`, by nodes added to the graph."""
    name = source
    if expected.ndim == 1 and found.ndim == 2 and found.shape[1] == 2 and wanted != LABEL:
        nearest = np.abs(found - expected[:, None]).mean(axis=0).argmin()  # of the two, the one with the right sign
        column = _constant(graph, f"{wanted}_column", np.array([nearest], np.int64))
        name = _node(graph, "Gather", [name, column], f"{wanted}_one", axis=1)
    if expected.ndim == 1 and found.ndim != 1:
        name = _node(
            graph, "Reshape", [name, _constant(graph, f"{wanted}_flat", np.array([-1], np.int64))], f"{wanted}_1d"
        )
    if expected.dtype != object:
        kind = _kind(expected, found)
        if _TYPES.get(found.dtype.str[1:]) != kind:
            name = _node(graph, "Cast", [name], f"{wanted}_cast", to=kind)
    return name


def _kind(expected: Array, found: Array) -> int:
    """The type an output should have: floats as the graph computes them, everything else as the original answers."""
    if expected.dtype.kind == "f" and found.dtype.kind == "f":
        return _TYPES[found.dtype.str[1:]]
    return _TYPES[expected.dtype.str[1:]]


def _node(graph: Any, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
    graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
    return output


def _constant(graph: Any, name: str, values: Array) -> str:
    graph.initializer.append(numpy_helper.from_array(values, name))
    return name
