"""Weights in fewer bits, widened as the model loads: half or a quarter of the bytes, the same arithmetic.

A weight becomes `Cast(halves)`, or `Cast(eighths) * scale` with a scale for each row or column; a runtime folds that
into a plain constant before the first call. So it is as quick as before, takes any operator, and is the same
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.edge.slim import loaded

LEAST_VALUES: Final = 1024
"""Of a smaller constant nothing is gained; and shapes, axes and limits are among them."""
LARGEST: Final = 127

Parts = tuple[tuple[str, Array], ...]


def halves(model: bytes, _: Batch) -> bytes | None:
    """Weights as float16. None where it has no weights, or one that is too large for that."""
    return _narrowed(model, _as_halves)


def eighths(model: bytes, _: Batch) -> bytes | None:
    """Weights as int8, symmetric, a scale for each row or column: whichever is closer. None where it has no weights."""
    return _narrowed(model, _as_eighths)


def _as_halves(weight: Array) -> Parts | None:
    with np.errstate(over="ignore"):
        half = weight.astype(np.float16)
    return (("halves", half),) if np.isfinite(half).all() else None


def _as_eighths(weight: Array) -> Parts | None:
    if not np.isfinite(weight).all():
        return None
    found = min((_scaled(weight, axis) for axis in range(weight.ndim)), key=lambda each: each[0])
    return (("eighths", found[1]), ("scale", found[2]))


def _scaled(weight: Array, axis: int) -> tuple[float, Array, Array]:
    """The squared error, the whole numbers and their scale, with one scale for each place along the axis."""
    others = tuple(each for each in range(weight.ndim) if each != axis)
    scale = np.abs(weight).max(axis=others, keepdims=True) / LARGEST
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    whole = np.rint(weight / scale).astype(np.int8)
    return float(np.square(whole * scale - weight).sum()), whole, scale


def _narrowed(model: bytes, parts_of: Callable[[Array], Parts | None]) -> bytes | None:
    proto = loaded(model)
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    made: list[Any] = []
    for constant in list(_weights(graph)):
        parts = parts_of(numpy_helper.to_array(constant))
        if parts is None:
            return None
        name = constant.name
        graph.initializer.remove(constant)
        graph.initializer.extend(numpy_helper.from_array(values, f"{name} as {kind}") for kind, values in parts)
        wide = name if len(parts) == 1 else f"{name} widened"
        made.append(helper.make_node("Cast", [f"{name} as {parts[0][0]}"], [wide], to=TensorProto.FLOAT))
        if len(parts) > 1:
            made.append(helper.make_node("Mul", [wide, f"{name} as scale"], [name]))
    if not made:
        return None
    nodes = [*made, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def _weights(graph: Any) -> Iterator[Any]:
    """The constants that are worth it: matrices and kernels of floats that are no inputs."""
    from onnx import TensorProto

    given = {value.name for value in graph.input}
    for constant in graph.initializer:
        wide = constant.data_type == TensorProto.FLOAT and len(constant.dims) > 1
        if wide and constant.name not in given and int(np.prod(constant.dims)) >= LEAST_VALUES:
            yield constant
