"""What a TensorFlow SavedModel says of itself, read from its bytes without TensorFlow: signatures, version, operators.

Run before anything is loaded: a graph whose operators reach for files, the network or Python is refused.
Field numbers: tensorflow/core/protobuf/saved_model.proto, meta_graph.proto, graph.proto, function.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from servable.errors import CorruptModel, UnsafeModel
from servable.runtimes.protobuf import BYTES, Malformed, Part, parts, text_field

FILE: Final = "saved_model.pb"

_REACHING: Final = frozenset({
    "PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "WholeFileReader",
    "WholeFileReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2", "TFRecordReader", "TFRecordReaderV2",
    "TextLineReader", "TextLineReaderV2", "TFRecordDataset", "TFRecordDatasetV2", "TextLineDataset",
    "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "LoadDataset", "SaveDataset", "SaveDatasetV2",
    "GeneratorDataset", "RpcClient", "RpcCall", "RpcServer", "PrintV2", "Print", "DebugIdentity", "DebugIdentityV2",
    "SendTPUEmbeddingGradients", "CreateSummaryFileWriter", "WriteSummary", "WriteGraphSummary", "WriteRawProtoSummary",
    "ImportEvent", "FlushSummaryWriter",
})  # fmt: skip
"""Operators that a prediction has no use for. Those that restore variables are in every file, and read its own."""


class SavedModelFile(msgspec.Struct, frozen=True):
    """The facts: names of the signatures, and the TensorFlow that wrote the file."""

    signatures: tuple[str, ...]
    version: str


def read(data: bytes, name: str) -> SavedModelFile:
    """Read the facts. Raises CorruptModel, UnsafeModel."""
    try:
        graphs = [part for part in parts(data) if part.number == 2 and part.kind == BYTES]
        if not graphs:
            raise CorruptModel(f"{name!r} is no SavedModel: it holds no graph")
        reaching = sorted({operator for graph in graphs for operator in _operators(data, graph)} & _REACHING)
        if reaching:
            raise UnsafeModel(
                f"{name!r} has operators that reach for files, the network or Python ({', '.join(reaching)}): a "
                "prediction needs none of them. Nothing was loaded"
            )
        signatures = [text_field(data, entry, 1) for graph in graphs for entry in _within(data, graph, 5)]
        infos = [info for graph in graphs for info in _within(data, graph, 1)]
    except Malformed as error:
        raise CorruptModel(f"{name!r} is a broken or cut off SavedModel: {error}") from error
    served = tuple(sorted(signature for signature in signatures if not signature.startswith("__saved_model")))
    if not served:
        raise CorruptModel(f"{name!r} has no signatures: save the model with signatures=, or with model.export(folder)")
    return SavedModelFile(served, next((text_field(data, info, 5) for info in infos), ""))


def _operators(data: bytes, graph: Part) -> Iterator[str]:
    """The operators of a meta graph: of its graph, and of its library of functions."""
    for definition in _within(data, graph, 2):
        for part in parts(data, definition.start, definition.stop):
            if part.number == 1:
                yield text_field(data, part, 2)
            elif part.number == 2:
                for function in _within(data, part, 1):
                    for node in _within(data, function, 3):
                        yield text_field(data, node, 2)


def _within(data: bytes, message: Part, number: int) -> Iterator[Part]:
    return (part for part in parts(data, message.start, message.stop) if part.number == number and part.kind == BYTES)
