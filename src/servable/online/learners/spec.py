"""Spec: a built-in learner as a small JSON file, which is what is packed: the learner, its inputs, its options.

{"learner": "ftrl", "inputs": {"x": "FP64 [-1, 30]"}, "classes": ["benign", "malignant"], "options": {"alpha": 0.1}}
{"learner": "linucb", "inputs": {"x": "FP64 [-1, 30]"}, "actions": ["call", "write"], "options": {"alpha": 0.5}}
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.domain.field import Field
from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.errors import CorruptModel, UsageError
from servable.online.learners import bandit, ftrl, linear
from servable.online.learners.labels import Labels
from servable.online.learners.memory import Memory, memory_of

LARGEST: Final = 1 << 20
WHOLE: Final = {"hash_bits", "most_features", "sightings", "expire_after", "seed"}


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`inputs` are Fields as `PythonModel` declares them: `"FP64 [-1, 30]"`. `classes` are those of a classifier,
    `actions` those of a bandit. `target` names the input by which a request may tell its own outcome: it is learned
    once it is answered.
    """

    learner: str
    inputs: dict[str, str | Field]
    classes: tuple[str | int, ...] = ()
    actions: tuple[str, ...] = ()
    target: str = ""
    options: dict[str, float] = {}


PARTS: Final = ", ".join(Spec.__struct_fields__)


class _Named(msgspec.Struct):
    learner: str


def _ftrl(spec: Spec, signature: Signature) -> Learner:
    memory, others = memory_of(_whole(spec.options))
    return ftrl.Ftrl(signature, spec.classes, **others, memory=memory)


def _linear(spec: Spec, signature: Signature) -> Learner:
    memory, others = memory_of(_whole(spec.options))
    return linear.Linear(signature, **others, memory=memory)


def _bandit(spec: Spec, signature: Signature) -> Learner:
    return bandit.Bandit(spec.learner, signature, spec.actions, bandit.Options(**_whole(spec.options)))


MAKERS: Final[dict[str, Callable[[Spec, Signature], Learner]]] = {
    ftrl.NAME: _ftrl,
    linear.NAME: _linear,
    **dict.fromkeys(bandit.POLICIES, _bandit),
}


def read(path: Path) -> Spec:
    """The spec in a file. Raises CorruptModel with what is wrong in it."""
    return parsed(path.read_bytes(), path.name)


def parsed(data: bytes, name: str) -> Spec:
    """The spec in the bytes of the file `name`. Raises as `read`."""
    try:
        spec = msgspec.json.decode(data, type=Spec)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptModel(f"{name!r} is not the description of a learner, of {PARTS}: {error}") from error
    if spec.learner not in MAKERS:
        meant = _meant(spec.learner, MAKERS)
        raise CorruptModel(f"{name!r}: there is no learner {spec.learner!r}{meant}: expected {', '.join(MAKERS)}")
    return spec


def describes(data: bytes) -> bool:
    """Whether these bytes are meant as a description, right or wrong: a JSON object that names its learner. In a model
    of XGBoost, "learner" is an object.
    """
    try:
        return bool(msgspec.json.decode(data, type=_Named).learner)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def signature_of(spec: Spec) -> Signature:
    """What the learner takes and gives. Raises UsageError for what cannot be."""
    try:
        inputs = tuple(_field(name, what) for name, what in spec.inputs.items())
        if spec.learner in bandit.POLICIES:
            return bandit.signature(inputs, spec.actions)
        inputs = with_target(inputs, spec.target, spec.classes)
        outputs = Labels(spec.classes).fields() if spec.learner == ftrl.NAME else (linear.OUTPUT,)
        return Signature(inputs, outputs)
    except ValueError as error:
        raise UsageError(f"the inputs of the learner cannot be: {error}") from error


def with_target(inputs: tuple[Field, ...], name: str, classes: Sequence[str | int]) -> tuple[Field, ...]:
    """The inputs with the one of this name as the target: one of them, which every request tells, or one more, which
    may be left out; as they are, if there is none.
    """
    if not name:
        return inputs
    if any(field.name == name for field in inputs):
        return tuple(msgspec.structs.replace(one, content="target") if one.name == name else one for one in inputs)
    if classes and isinstance(classes[0], str):
        return (*inputs, Field(name, "BYTES", values="missing", categories=tuple(classes), content="target"))
    return (*inputs, Field(name, "FP64", values="missing", content="target"))


def make(spec: Spec, signature: Signature) -> Learner:
    """The learner, before its first example. Raises UsageError for options it does not take."""
    known = _options(spec.learner)
    strange = [name for name in spec.options if name not in known]
    if strange:
        raise UsageError(
            f"options of the learner {spec.learner}: there is no {strange[0]!r}{_meant(strange[0], known)}: "
            f"expected some of {', '.join(known)}"
        )
    return MAKERS[spec.learner](spec, signature)


def _options(learner: str) -> list[str]:
    """The names of all that it takes."""
    if learner in bandit.POLICIES:
        return [*bandit.Options.__struct_fields__]
    kinds: dict[str, Callable[..., Learner]] = {ftrl.NAME: ftrl.Ftrl, linear.NAME: linear.Linear}
    own = inspect.signature(kinds[learner]).parameters.values()
    return [one.name for one in own if one.kind is one.KEYWORD_ONLY and one.name != "memory"] + [
        *Memory.__struct_fields__
    ]


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _field(name: str, what: str | Field) -> Field:
    if isinstance(what, Field):
        return what
    datatype, _, shape = what.strip().partition(" ")
    sizes = shape.strip().removeprefix("[").removesuffix("]")
    return Field(name, datatype, tuple(int(size) for size in sizes.split(",")) if sizes else (-1,))


def _whole(options: dict[str, float]) -> dict[str, Any]:
    """Numbers of JSON, of which some are whole ones."""
    return {key: int(value) if key in WHOLE else value for key, value in options.items()}
