"""The contract of an ONNX model: what the session declares, corrected by what a run shows.

Declared output shapes are often absent and sometimes wrong, and no file says whether its first axis is rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from servable.domain.batch import Array
from servable.domain.datatypes import FLOATS
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import IncompatibleModel
from servable.runtimes.onnx_file import OnnxFile
from servable.runtimes.rows import probe

_DATATYPES: Final = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64", "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32",
    "tensor(int64)": "INT64", "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}  # fmt: skip

Values = Literal["finite", "missing", "any"]


def contract(session: Any, file: OnnxFile, name: str) -> tuple[Signature, dict[str, tuple[str, ...]]]:
    """Inputs, outputs and whether rows may be joined; and the class names of outputs that hold a number for each."""
    signature = _signature(session, name, _floats(file))
    labels = _labels(file, signature)
    return _named(signature, labels), labels


def _floats(file: OnnxFile) -> Values:
    """What floats a model takes: estimators make something of a missing value only if they were built to."""
    if not file.estimators:
        return "any"
    return "missing" if file.takes_missing else "finite"


def fields(nodes: list[Any], name: str, floats: Values = "any") -> tuple[Field, ...]:
    """Inputs or outputs as the session declares them; axes without a fixed size are -1."""
    found = []
    for node in nodes:
        datatype = _DATATYPES.get(node.type)
        if datatype is None:
            raise IncompatibleModel(
                f"{name!r}: {node.name!r} is a {node.type}; only tensors of numbers, booleans and text can be served. "
                "Save the model with that input or output as a tensor"
            )
        shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape)
        found.append(Field(node.name, datatype, shape, values=floats if datatype in FLOATS else "finite"))
    return tuple(found)


def _signature(session: Any, name: str, floats: Values) -> Signature:
    """The declared fields, corrected by what a run shows: declared output shapes are often absent, and sometimes
    wrong.
    """
    inputs, outputs = fields(session.get_inputs(), name, floats), fields(session.get_outputs(), name, "any")
    names = [field.name for field in outputs]

    def predict(values: Mapping[str, Array]) -> Mapping[str, Array]:
        return dict(zip(names, session.run(names, dict(values)), strict=True))

    symbols = {node.shape[0] for node in (*session.get_inputs(), *session.get_outputs()) if node.shape}
    batched = bool(inputs) and all(field.shape and field.shape[0] == -1 for field in inputs)
    seen = probe(predict, inputs, batched=batched)
    if seen is None:
        batched = batched and len(symbols) == 1 and all(field.shape for field in outputs)
    elif batched and not seen.independent:
        batched, seen = False, probe(predict, inputs, batched=False)
    if seen is not None:
        outputs = tuple(_as_seen(field, seen.shapes[field.name], inputs, batched=batched) for field in outputs)
    return Signature(inputs, outputs, batched)


def _as_seen(field: Field, shape: tuple[int, ...], inputs: tuple[Field, ...], *, batched: bool) -> Field:
    """The field with a shape that is true: the declared one where it fits what came."""
    declared = (-1, *field.shape[1:]) if batched and field.shape else field.shape
    if not Field("", field.datatype, declared).fits(shape):
        fixed = (
            all(-1 not in given.shape[1:] for given in inputs) if batched else all(-1 not in g.shape for g in inputs)
        )
        sizes = shape if fixed else tuple(-1 for _ in shape)
        declared = (-1, *sizes[1:]) if batched else sizes
    return Field(field.name, field.datatype, declared, values=field.values)


def _labels(file: OnnxFile, signature: Signature) -> dict[str, tuple[str, ...]]:
    """Class names of the outputs that hold a number for each class."""
    known = {name: classes for name, classes in file.maps.items() if signature.output(name)}
    if not known and len(file.classes) == 1:
        classes = file.classes[0]
        for field in signature.outputs:
            if len(field.shape) == 2 and field.shape[1] == len(classes) and field.datatype in {"FP32", "FP64"}:
                known[field.name] = classes
    return known


def _named(signature: Signature, labels: Mapping[str, tuple[str, ...]]) -> Signature:
    """The signature with class names on the outputs that hold a number for each."""
    outputs = tuple(
        msgspec.structs.replace(field, features=labels[field.name])
        if field.name in labels and field.shape[-1:] == (len(labels[field.name]),)
        else field
        for field in signature.outputs
    )
    return msgspec.structs.replace(signature, outputs=outputs)
