"""Does the contract in a manifest agree with the model that was loaded? Asked once, at load."""

from __future__ import annotations

from servable.domain.bundle import Bundle
from servable.domain.field import Field
from servable.errors import CorruptModel


def agree(bundle: Bundle, inputs: tuple[Field, ...], outputs: tuple[Field, ...]) -> None:
    """Raise CorruptModel unless the signature has every input of the model, and only outputs that the model gives.

    `inputs` and `outputs` are the model's own. Names and datatypes must be equal; sizes must not contradict each other.
    """
    signature = bundle.signature
    faults = [f"the model needs input {field.name!r}" for field in inputs if signature.input(field.name) is None]
    for kind, fields, real in (("input", signature.inputs, inputs), ("output", signature.outputs, outputs)):
        by_name = {field.name: field for field in real}
        for field in fields:
            found = by_name.get(field.name)
            if found is None:
                faults.append(f"the model has no {kind} {field.name!r}: it has {', '.join(map(repr, by_name))}")
            elif found.datatype != field.datatype:
                faults.append(f"{kind} {field.name!r} is {found.datatype} in the model")
            elif kind == "input" and not _compatible(field.shape, found.shape):
                faults.append(
                    f"{kind} {field.name!r} is {list(found.shape)} in the model, {list(field.shape)} in the manifest"
                )
    if faults:
        raise CorruptModel(
            f"the manifest of {bundle.name!r} and its model disagree: {'; '.join(faults)}. Pack the model again",
            faults=faults,
        )


def _compatible(declared: tuple[int, ...], real: tuple[int, ...]) -> bool:
    return len(declared) == len(real) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(declared, real, strict=True)
    )
