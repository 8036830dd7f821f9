"""Tensors that an ONNX model keeps in other files: which ones, and their bytes, from inside the model's folder only.

The files are mapped here and handed to onnxruntime as memory, so that it opens no path a model names. Refused: absolute
paths, `..`, links of either kind, anything that is not a plain file. Field numbers: onnx/onnx.proto.
"""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from servable.errors import CorruptModel, UnsafeModel
from servable.runtimes.protobuf import BYTES, Part, parts, text_field

_GRAPH, _TRAINING, _FUNCTION = 7, 20, 25
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15
_EXTERNAL_DATA: Final = 13


def locations(data: bytes) -> tuple[str, ...]:
    """The files that hold tensors of the model in `data`, as it names them, each once.

    Raises UnsafeModel for a sparse tensor kept outside: onnxruntime would open that path itself.
    """
    if b"location" not in data:
        return ()
    found = dict(place for top in parts(data) for place in _locations(data, top))
    if any(found.values()):
        raise UnsafeModel(
            "the model keeps a sparse tensor in another file, which is not supported: save it in one file"
        )
    return tuple(found)


def mapped(folder: Path, location: str) -> mmap.mmap:
    """The content of one such file, mapped. Raises UnsafeModel where it is not a plain file inside the folder."""
    relative = PurePosixPath(location)
    if not location or relative.is_absolute() or ".." in relative.parts or "\\" in location or "\0" in location:
        raise UnsafeModel(
            f"the model keeps tensors in {location!r}: expected a path inside the model's own folder; save it anew "
            "with its external data beside it"
        )
    path = folder
    for name in relative.parts:
        path = path / name
        if path.is_symlink():
            raise UnsafeModel(f"external data {location!r} goes through a symbolic link: expected a plain file")
    try:
        with path.open("rb") as file:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise UnsafeModel(f"external data {location!r} is a link or not a plain file: copy it into the folder")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CorruptModel(
            f"external data {location!r} of the model is missing, empty or unreadable: {error}"
        ) from error


def _locations(data: bytes, top: Part) -> Iterator[tuple[str, bool]]:
    """Each `location` of external data below a field of the model, and whether it belongs to a sparse tensor."""
    if top.number == _GRAPH:
        yield from _graph_locations(data, top)
    elif top.number == _FUNCTION:
        for part in parts(data, top.start, top.stop):
            if part.number == 7:
                yield from _node_locations(data, part)
    elif top.number == _TRAINING:
        for part in parts(data, top.start, top.stop):
            if part.number in {1, 2}:
                yield from _graph_locations(data, part)


def _graph_locations(data: bytes, graph: Part) -> Iterator[tuple[str, bool]]:
    for part in parts(data, graph.start, graph.stop):
        if part.number == _NODE:
            yield from _node_locations(data, part)
        elif part.number == _INITIALIZER:
            yield from _tensor_locations(data, part, sparse=False)
        elif part.number == _SPARSE_INITIALIZER:
            yield from _sparse_locations(data, part)


def _node_locations(data: bytes, node: Part) -> Iterator[tuple[str, bool]]:
    for attribute in parts(data, node.start, node.stop):
        if attribute.number != 5:
            continue
        for part in parts(data, attribute.start, attribute.stop):
            if part.kind != BYTES:
                continue
            if part.number in {5, 10}:
                yield from _tensor_locations(data, part, sparse=False)
            elif part.number in {6, 11}:
                yield from _graph_locations(data, part)
            elif part.number in {22, 23}:
                yield from _sparse_locations(data, part)


def _sparse_locations(data: bytes, sparse: Part) -> Iterator[tuple[str, bool]]:
    for part in parts(data, sparse.start, sparse.stop):
        if part.number in {1, 2} and part.kind == BYTES:
            yield from _tensor_locations(data, part, sparse=True)


def _tensor_locations(data: bytes, tensor: Part, *, sparse: bool) -> Iterator[tuple[str, bool]]:
    for part in parts(data, tensor.start, tensor.stop):
        if part.number == 13 and text_field(data, part, 1) == "location":
            yield text_field(data, part, 2), sparse
