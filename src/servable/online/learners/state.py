"""The state of a built-in learner as bytes: named arrays behind a head that says whose they are. No pickle.

Equal arrays give equal bytes; a state that is cut short, or another learner's, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from servable.domain.batch import Array
from servable.domain.bundle import Bundle
from servable.domain.model import Learner
from servable.errors import CorruptModel, IncompatibleModel
from servable.runtimes import verified

L = TypeVar("L", bound=Learner)

STATE: Final = "state"
"""The option of the manifest that names the file of a state, which the learner begins with."""
STATE_FILE: Final = "learner.state"
MAGIC: Final = b"servable-state\n"


class _Array(msgspec.Struct, array_like=True):
    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class _State(msgspec.Struct, array_like=True):
    learner: str
    facts: dict[str, Any]
    arrays: list[_Array]


def begin(learner: L, bundle: Bundle) -> L:
    """The learner with the state that the bundle says it begins with, if it says so. Raises DigestMismatch,
    CorruptModel.
    """
    name = bundle.manifest.options.get(STATE)
    if name is not None:
        learner.restore(verified.read(bundle, bundle.folder / str(name)))
    return learner


def dumps(learner: str, facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """`facts` say what the arrays depend on: options, classes, sizes. They must be equal where it is taken up."""
    held = [
        _Array(name, array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())
        for name, array in sorted(arrays.items())
    ]
    return MAGIC + msgspec.msgpack.encode(_State(learner, dict(sorted(facts.items())), held))


def loads(data: bytes, learner: str, facts: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays. Raises CorruptModel for what is no state, IncompatibleModel for one of another learner.

    >>> loads(dumps("ftrl", {"alpha": 0.1}, {"w": np.zeros(2)}), "ftrl", {"alpha": 0.1})["w"].tolist()
    [0.0, 0.0]
    """
    if not data.startswith(MAGIC):
        raise CorruptModel("this is not the state of a learner, or its beginning is damaged")
    try:
        state = msgspec.msgpack.decode(memoryview(data)[len(MAGIC) :], type=_State)
        arrays = {
            held.name: np.frombuffer(held.data, np.dtype(held.dtype)).reshape(held.shape).copy()
            for held in state.arrays
        }
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise CorruptModel(f"the state of the learner is damaged: {error}") from error
    wanted = msgspec.msgpack.decode(msgspec.msgpack.encode(dict(facts)))
    if state.learner != learner or state.facts != wanted:
        raise IncompatibleModel(
            f"the state is that of {state.learner} with {state.facts}, this learner is {learner} with {wanted}: "
            "a state goes back into the learner that it came from"
        )
    return arrays
