"""What an ONNX model sheds on its way to a device: outputs that nobody asks for, with all that only they need; what
trees say of themselves to no effect; and operators that are newer than the devices' runtime, put into older ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from servable.errors import IncompatibleModel, MissingExtra
from servable.runtimes.onnx_file import read
from servable.runtimes.protobuf import parts, text_field

MOST_OPSET: Final = 26
MOST_IR: Final = 13
"""The newest operator set and file format that the pinned onnxruntime-web loads; what serves here may know more."""
_GRAPH, _OUTPUT = 7, 12
_TREES: Final = "ai.onnx.ml"
_COUNTS: Final = {"nodes_hitrates", "nodes_hitrates_as_tensor"}
"""How often training passed each node: nothing is computed from them."""
_DEFAULTS: Final = {"nodes_missing_value_tracks_true"}
"""Zeros mean the same as being absent."""


def slim(model: bytes, outputs: Sequence[str]) -> bytes:
    """The model with these outputs alone, in operators that devices know. Raises IncompatibleModel, MissingExtra."""
    file = read(model)
    newest = file.opsets.get("", 0)
    spare = set(_outputs(model)) != set(outputs)
    trees = _TREES in file.opsets
    if not spare and not trees and newest <= MOST_OPSET and file.ir_version <= MOST_IR:
        return model
    proto = loaded(model)
    if spare:
        _keep(proto.graph, set(outputs))
    if trees:
        _shorten(proto.graph)
    if newest > MOST_OPSET:
        proto = _lowered(proto, MOST_OPSET)
    proto.ir_version = min(proto.ir_version, MOST_IR)
    return bytes(proto.SerializeToString())


def loaded(model: bytes) -> Any:
    """The model for editing. Raises MissingExtra."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("edge", "change a model for a device", missing=error.name) from error
    return onnx.load_from_string(model)


def _outputs(model: bytes) -> list[str]:
    """The names of the graph's outputs, without the `onnx` package: most models are to be left as they are."""
    graph = next(part for part in parts(model) if part.number == _GRAPH)
    return [text_field(model, part, 1) for part in parts(model, graph.start, graph.stop) if part.number == _OUTPUT]


def _keep(graph: Any, outputs: set[str]) -> None:
    """Take away the other outputs, then every node and constant that none of these needs."""
    needed = set(outputs)
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(_read_by(node))
    for held, kept in (
        (graph.output, [value for value in graph.output if value.name in outputs]),
        (graph.node, list(reversed(nodes))),
        (graph.initializer, [constant for constant in graph.initializer if constant.name in needed]),
        (graph.value_info, [value for value in graph.value_info if value.name in needed]),
    ):
        copies = [type(each).FromString(each.SerializeToString()) for each in kept]
        del held[:]
        held.extend(copies)


def _shorten(graph: Any) -> None:
    """Take away the attributes of trees that change no answer: a fifth of a boosted forest's bytes."""
    for node in graph.node:
        if node.domain != _TREES or not node.op_type.startswith("TreeEnsemble"):
            continue
        for attribute in reversed(node.attribute):
            if attribute.name in _COUNTS or (attribute.name in _DEFAULTS and not any(attribute.ints)):
                node.attribute.remove(attribute)


def _read_by(node: Any) -> set[str]:
    """Every name that a node reads, those that graphs inside of it take from around them too."""
    names = set(node.input)
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            names.update(output.name for output in inner.output)
            names.update(*(_read_by(each) for each in inner.node))
    return names


def _lowered(proto: Any, opset: int) -> Any:
    from onnx import version_converter

    try:
        return version_converter.convert_version(proto, opset)
    except Exception as error:  # a wall: the converter raises anything for what it cannot say in older operators
        reason = " ".join(str(error).split())[:300]
        raise IncompatibleModel(
            f"the model is written in operator set {_newest(proto)}, devices know up to {opset}, and it cannot be put "
            f"into that: {reason}. Save it with opset {opset} or older"
        ) from error


def _newest(proto: Any) -> int:
    return next((each.version for each in proto.opset_import if each.domain in {"", "ai.onnx"}), 0)
