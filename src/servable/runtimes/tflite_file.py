"""What a TFLite file says of itself: tensors by name, how they are quantised, and whether the model remembers.

Read through LiteRT, which has verified the bytes by then; the operators through the schema it brings. Runs nothing.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.domain.datatypes import DTYPES, datatype_of
from servable.domain.field import Field
from servable.errors import CorruptModel, IncompatibleModel, MissingExtra

MAGIC: Final = b"TFL3"
PREFERRED: Final = "serving_default"
"""The signature that is served where a file has several and nobody names one."""

_CUSTOM: Final = ("unresolved custom op: ", "Select TensorFlow op(s)")
_NEWER: Final = "Didn't find op for builtin opcode"


class Tensor(msgspec.Struct, frozen=True):
    """An input or output: `index` is its place in the interpreter; `scale` is 0 where the numbers are not quantised."""

    name: str
    index: int
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    def field(self) -> Field:
        """The field that clients see: quantised tensors are floats to them."""
        if self.scale:
            return Field(self.name, "FP32", self.shape)
        return Field(self.name, self.dtype, self.shape, values="any" if self.dtype.startswith("FP") else "finite")

    def stored(self, values: Array) -> Array:
        """The values as the model holds them: q = round(x / scale) + zero_point, cut off at the ends of the type."""
        if not self.scale:
            return values
        dtype = DTYPES[self.dtype]
        limits = np.iinfo(dtype)
        steps = np.rint(values / self.scale) + self.zero_point
        return np.asarray(np.clip(steps, limits.min, limits.max), dtype)

    def real(self, values: Array) -> Array:
        """The model's values as clients see them: x = (q - zero_point) * scale."""
        if not self.scale:
            return values
        return np.asarray((values.astype(np.float32) - self.zero_point) * self.scale, np.float32)


class Graph(msgspec.Struct, frozen=True):
    """The part of a file that is served: a signature's inputs and outputs, and the subgraph they belong to."""

    signature: str
    subgraph: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    remembers: bool

    @property
    def single(self) -> bool:
        """Whether the file takes one row at a time: every first axis has a fixed size of 1."""
        return all(tensor.shape[:1] == (1,) for tensor in (*self.inputs, *self.outputs))


def interpreter(data: bytes, threads: int, name: str) -> Any:
    """An interpreter over verified bytes, tensors allocated. Raises CorruptModel, IncompatibleModel, MissingExtra."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingExtra("tflite", f"load {name!r}", missing=error.name) from error
    try:
        made = Interpreter(model_content=data, num_threads=threads)
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        for mark in _CUSTOM:
            if mark in reason:
                what = reason.partition(mark)[2].partition(". ")[0] if mark == _CUSTOM[0] else "of TensorFlow itself"
                raise IncompatibleModel(
                    f"{name!r} needs the custom operator {what}, which LiteRT does not have: convert the model again "
                    "with built-in operators only (target_spec.supported_ops = [TFLITE_BUILTINS])"
                ) from error
        if _NEWER in reason:
            raise IncompatibleModel(f"{name!r} needs a newer LiteRT than is installed: {reason[:200]}") from error
        raise CorruptModel(f"{name!r} is a broken or cut off TFLite model: {reason[:200] or 'no word why'}") from error
    return made


def read(made: Any, data: bytes, wanted: str | None, name: str) -> Graph:
    """The signature `wanted`, or the default one. A file without signatures has one, unnamed."""
    found = made._get_full_signature_list()
    if wanted and wanted not in found:
        raise CorruptModel(f"{name!r} has no signature {wanted!r}: it has {', '.join(map(repr, found)) or 'none'}")
    chosen = wanted or (PREFERRED if PREFERRED in found else next(iter(found), ""))
    if not chosen:
        inputs = [(str(seen["name"]), seen) for seen in made.get_input_details()]
        outputs = [(str(seen["name"]), seen) for seen in made.get_output_details()]
        subgraph = 0
    else:
        subgraph = made._interpreter.GetSubgraphIndexFromSignature(chosen)
        if subgraph:
            made._interpreter.AllocateTensors(subgraph)
        sides = (found[chosen]["inputs"], found[chosen]["outputs"])
        inputs, outputs = (
            [(key, made._get_tensor_details(index, subgraph)) for key, index in side.items()] for side in sides
        )
    return Graph(
        chosen,
        subgraph,
        tuple(_tensor(key, seen, name) for key, seen in inputs),
        tuple(_tensor(key, seen, name) for key, seen in outputs),
        _remembers(data, subgraph),
    )


def _tensor(key: str, seen: dict[str, Any], name: str) -> Tensor:
    dtype = np.dtype(seen["dtype"])
    if dtype.kind not in "biuf":
        raise IncompatibleModel(
            f"{name!r}: tensor {key!r} is {dtype.name}; only tensors of numbers and booleans can be served from TFLite"
        )
    scale, zero_point = seen["quantization"]
    shape = tuple(int(size) for size in seen["shape_signature"])
    if not shape and len(seen["shape"]):
        shape = tuple(int(size) for size in seen["shape"])
    return Tensor(key, int(seen["index"]), shape, datatype_of(dtype), float(scale), int(zero_point))


def _remembers(data: bytes, subgraph: int) -> bool:
    """Whether a call changes what the next one answers: variable tensors, or variables that it assigns to."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(subgraph)
    if any(graph.Tensors(at).IsVariable() for at in range(graph.TensorsLength())):
        return True
    codes = {graph.Operators(at).OpcodeIndex() for at in range(graph.OperatorsLength())}
    return any(model.OperatorCodes(code).BuiltinCode() == schema.BuiltinOperator.ASSIGN_VARIABLE for code in codes)
