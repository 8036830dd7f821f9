"""What an ONNX file says of itself, read from its bytes without the `onnx` package.

Format version, opsets, producer and class labels; and one change: a ZipMap, which makes a list of dicts of
every answer, becomes the plain matrix it was made from. Knows nothing of onnxruntime. Field numbers: onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from servable.runtimes.protobuf import BYTES, VARINT, Malformed, Part, parts, put, signed, text, text_field

_IR_VERSION, _PRODUCER, _PRODUCER_VERSION, _MODEL_VERSION, _GRAPH, _OPSET = 1, 2, 3, 5, 7, 8
_MODEL_FIELDS: Final = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_NODE, _OUTPUT = 1, 12
_ESTIMATORS: Final = ("TreeEnsemble", "Linear", "SVM")
_ML_DOMAIN: Final = "ai.onnx.ml"
_MAX_IR_VERSION: Final = 1000
_FLOAT: Final = 1


class OnnxFile(msgspec.Struct, frozen=True):
    """The facts of a file. `model` is what to load: the file's bytes, with every ZipMap opened.

    `maps` gives the class names of each output that was a ZipMap's; `classes` those of every classifier in the graph.
    `estimators`: it holds trees, linear models and the like; `takes_missing`: something in it tells a missing value
    from others, an imputer or trees that say where it goes.
    """

    model: bytes
    ir_version: int
    opsets: dict[str, int]
    producer: str
    producer_version: str
    maps: dict[str, tuple[str, ...]]
    classes: tuple[tuple[str, ...], ...]
    estimators: bool
    takes_missing: bool


def is_onnx(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that starts with `head` is an ONNX model: a protobuf with its fields and a
    version.
    """
    seen: set[int] = set()
    try:
        for part in parts(head, 0, max(size, len(head))):
            wanted = VARINT if part.number in {_IR_VERSION, _MODEL_VERSION} else BYTES
            if part.number not in _MODEL_FIELDS or part.kind != wanted:
                return False
            if part.number == _IR_VERSION and not 1 <= part.value <= _MAX_IR_VERSION:
                return False
            seen.add(part.number)
            if part.stop >= len(head):
                break
    except (Malformed, IndexError):
        pass
    return _IR_VERSION in seen and bool(seen & {_PRODUCER, _GRAPH, _OPSET})


def read(data: bytes) -> OnnxFile:
    """Read the facts. Raises Malformed where the bytes are no whole protobuf."""
    ir_version, producer, producer_version = 0, "", ""
    opsets: dict[str, int] = {}
    maps: dict[str, tuple[str, ...]] = {}
    classes: list[tuple[str, ...]] = []
    graph: Part | None = None
    for part in parts(data):
        if part.number == _IR_VERSION:
            ir_version = part.value
        elif part.number == _PRODUCER:
            producer = text(data, part)
        elif part.number == _PRODUCER_VERSION:
            producer_version = text(data, part)
        elif part.number == _OPSET:
            domain, version = _opset(data, part)
            opsets[domain] = version
        elif part.number == _GRAPH:
            if graph is not None:
                raise Malformed("two graphs in one model")
            graph = part
    if graph is None:
        raise Malformed("no graph in the model")
    estimators = missing = False
    for node in parts(data, graph.start, graph.stop):
        if node.number != _NODE:
            continue
        operator = text_field(data, node, 4)
        missing = missing or operator in {"IsNaN", "Imputer"}
        if text_field(data, node, 7) == _ML_DOMAIN:
            estimators = estimators or operator.startswith(_ESTIMATORS)
            missing = missing or (operator.startswith("TreeEnsemble") and _leads_missing(data, node))
            labels = _class_labels(data, node)
            if labels and operator == "ZipMap":
                maps[text_field(data, node, 2)] = labels
            if labels and labels not in classes:
                classes.append(labels)
    model = _without_maps(data, graph, maps, opsets) if maps else data
    return OnnxFile(model, ir_version, opsets, producer, producer_version, maps, tuple(classes), estimators, missing)


def _opset(data: bytes, part: Part) -> tuple[str, int]:
    domain, version = "", 0
    for field in parts(data, part.start, part.stop):
        if field.number == 1:
            domain = text(data, field)
        elif field.number == 2:
            version = signed(field.value)
    return ("" if domain == "ai.onnx" else domain), version


def _class_labels(data: bytes, node: Part) -> tuple[str, ...]:
    """The class names that a node of the ML domain carries: `classlabels_strings`, `classlabels_int64s` and the
    like.
    """
    for attribute in parts(data, node.start, node.stop):
        if attribute.number != 5 or not text_field(data, attribute, 1).startswith("classlabels_"):
            continue
        labels: list[str] = []
        for field in parts(data, attribute.start, attribute.stop):
            if field.number == 9:
                labels.append(text(data, field))
            elif field.number == 8 and field.kind == VARINT:
                labels.append(str(signed(field.value)))
            elif field.number == 8:
                labels.extend(str(number) for number in _packed(data, field))
        if labels:
            return tuple(labels)
    return ()


def _leads_missing(data: bytes, node: Part) -> bool:
    """Whether trees say of any branch that a missing value goes with the true."""
    for attribute in parts(data, node.start, node.stop):
        if attribute.number == 5 and text_field(data, attribute, 1) == "nodes_missing_value_tracks_true":
            fields = (field for field in parts(data, attribute.start, attribute.stop) if field.number == 8)
            return any(field.value if field.kind == VARINT else any(_packed(data, field)) for field in fields)
    return False


def _packed(data: bytes, field: Part) -> Iterator[int]:
    """The numbers of a packed field: its varints, read as if each were the value of field 1."""
    value = shift = 0
    for byte in data[field.start : field.stop]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield signed(value)
            value = shift = 0


def _without_maps(data: bytes, graph: Part, maps: dict[str, tuple[str, ...]], opsets: dict[str, int]) -> bytes:
    """The model with each ZipMap replaced by an Identity, and its output declared as a matrix of floats."""
    changed = bytearray()
    for part in parts(data, graph.start, graph.stop):
        name = text_field(data, part, 1) if part.number == _OUTPUT else ""
        if part.number == _NODE and text_field(data, part, 4) == "ZipMap" and text_field(data, part, 2) in maps:
            source, target = text_field(data, part, 1), text_field(data, part, 2)
            changed += put(
                _NODE, put(1, source) + put(2, target) + put(3, f"{target} as a matrix") + put(4, "Identity")
            )
        elif name in maps:
            shape = put(1, b"") + put(1, put(1, len(maps[name])))
            changed += put(_OUTPUT, put(1, name) + put(2, put(1, put(1, _FLOAT) + put(2, shape))))
        else:
            changed += data[part.begin : part.stop]
    opset = b"" if "" in opsets else put(_OPSET, put(1, "") + put(2, 13))
    return data[: graph.begin] + put(_GRAPH, bytes(changed)) + data[graph.stop :] + opset
