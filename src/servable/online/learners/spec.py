"""Spec: a built-in learner as a small JSON file, which is what is packed: the learner, its inputs, its options.

{"learner": "ftrl", "inputs": {"x": "FP64 [-1, 30]"}, "classes": ["benign", "malignant"], "options": {"alpha": 0.1}}
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.domain.field import Field
from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.errors import CorruptModel, UsageError
from servable.online.learners import ftrl, linear
from servable.online.learners.labels import Labels

LARGEST: Final = 1 << 20


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`inputs` are Fields as `PythonModel` declares them: `"FP64 [-1, 30]"`. `classes` are those of a classifier."""

    learner: str
    inputs: dict[str, str | Field]
    classes: tuple[str | int, ...] = ()
    options: dict[str, float] = {}


def _ftrl(spec: Spec, signature: Signature) -> Learner:
    return ftrl.Ftrl(signature, spec.classes, **_whole(spec.options))


def _linear(spec: Spec, signature: Signature) -> Learner:
    return linear.Linear(signature, **_whole(spec.options))


MAKERS: Final[dict[str, Callable[[Spec, Signature], Learner]]] = {ftrl.NAME: _ftrl, linear.NAME: _linear}


def read(path: Path) -> Spec:
    """The spec in a file. Raises CorruptModel with what is wrong in it."""
    try:
        spec = msgspec.json.decode(path.read_bytes(), type=Spec)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptModel(f"{path.name!r} is not the description of a learner: {error}") from error
    if spec.learner not in MAKERS:
        raise CorruptModel(f"{path.name!r}: there is no learner {spec.learner!r}: expected {' or '.join(MAKERS)}")
    return spec


def signature_of(spec: Spec) -> Signature:
    """What the learner takes and gives. Raises UsageError for what cannot be."""
    try:
        inputs = tuple(_field(name, what) for name, what in spec.inputs.items())
        outputs = Labels(spec.classes).fields() if spec.learner == ftrl.NAME else (linear.OUTPUT,)
        return Signature(inputs, outputs)
    except ValueError as error:
        raise UsageError(f"the inputs of the learner cannot be: {error}") from error


def make(spec: Spec, signature: Signature) -> Learner:
    """The learner, before its first example. Raises UsageError for options it does not take."""
    try:
        return MAKERS[spec.learner](spec, signature)
    except TypeError as error:
        raise UsageError(f"options of the learner {spec.learner}: {error}") from error


def _field(name: str, what: str | Field) -> Field:
    if isinstance(what, Field):
        return what
    datatype, _, shape = what.strip().partition(" ")
    sizes = shape.strip().removeprefix("[").removesuffix("]")
    return Field(name, datatype, tuple(int(size) for size in sizes.split(",")) if sizes else (-1,))


def _whole(options: dict[str, float]) -> dict[str, Any]:
    """Numbers of JSON, of which `hash_bits` is a whole one."""
    return {key: int(value) if key.endswith("bits") else value for key, value in options.items()}
