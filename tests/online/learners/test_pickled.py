"""A state comes back as pickle would bring it, whatever its classes do; and its attributes lie in the objects again."""

from __future__ import annotations

import gc
import pickle
import re
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from river import forest, tree

from servable.online.learners import pickled
from tests.online.streams import stream


@dataclass
class Plain:
    name: str
    held: list[Any] = field(default_factory=list)


class Telling(Plain):
    """With its own say in what is written and read."""

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name.upper()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.name, self.held = state["name"], ["was read"]


class Half(Plain):
    """Its state is not all that it is."""

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "held": []}


class Narrow:
    __slots__ = ("__dict__", "x")


class Guarding(Plain):
    """A property has the name of what lies behind it."""

    @property
    def mean(self) -> float:
        return float(vars(self)["mean"])


class Loud(Plain):
    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            raise AttributeError(f"{name} is set once")
        super().__setattr__(name, value)


class Words(dict[str, int]):
    def __init__(self) -> None:
        self.seen = 1


class Whole(Plain):
    def __reduce__(self) -> Any:
        return Whole, (self.name + "!",)


def lies_in_itself(value: Plain) -> bool:
    """Whether an object has no dictionary of its own."""
    return not any(type(one) is dict and one.keys() == {"name", "held"} for one in gc.get_referents(value))


def test_attributes_lie_in_the_object_that_was_read() -> None:
    made = Plain("a")
    assert lies_in_itself(made)
    read = pickled.loads(pickled.dumps(made))
    assert lies_in_itself(read)
    assert read == made
    assert list(vars(read)) == list(vars(made))


def narrow() -> Narrow:
    made = Narrow()
    made.x, made.y = 1, 2  # type: ignore[attr-defined]
    return made


def guarding() -> Guarding:
    made = Guarding("a")
    vars(made)["mean"] = 2.5
    return made


@pytest.mark.parametrize(
    "value",
    [
        Telling("a", ["b"]), Half("a", ["b"]), Whole("a"), Loud("a"), re.compile("a+"), 2j,
        np.arange(3.0), np.float64(0.1), Counter("abca"), OrderedDict(b=1, a=2), defaultdict(list, a=[1]), Plain, len,
        {"set": {1, 2}, "frozen": frozenset({3})},
    ],
)  # fmt: skip
def test_what_pickle_reads_is_read(value: Any) -> None:
    read, other = pickled.loads(pickled.dumps(value)), pickle.loads(pickle.dumps(value, protocol=5))  # noqa: S301 - our own bytes
    assert type(read) is type(other)
    assert repr(read) == repr(other)


def test_slots_properties_and_what_is_more_than_attributes_are_kept() -> None:
    read = pickled.loads(pickled.dumps(narrow()))
    assert (read.x, read.y) == (1, 2)
    assert pickled.loads(pickled.dumps(guarding())).mean == 2.5
    words = Words()
    words["a"] = 3
    read = pickled.loads(pickled.dumps(words))
    assert (dict(read), read.seen) == ({"a": 3}, 1)
    assert pickled.loads(pickled.dumps(np.random.default_rng(3))).random() == np.random.default_rng(3).random()


def test_what_is_shared_stays_shared_and_rings_stay_rings() -> None:
    one, shared = Plain("one"), [1]
    one.held = [one, shared, shared]
    read = pickled.loads(pickled.dumps(one))
    assert read.held[0] is read
    assert read.held[1] is read.held[2]


def test_what_pickle_refuses_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        pickled.dumps(Plain("a", [(n for n in range(3))]))


@pytest.mark.parametrize(
    "make", [tree.HoeffdingTreeClassifier, lambda: forest.ARFClassifier(n_models=2, seed=1)], ids=["tree", "forest"]
)
def test_who_goes_on_with_what_was_read_learns_the_same(make: Any) -> None:
    """To the bit: written and read every hundred examples, or never."""
    events = stream("phishing")
    names = events.names
    one, other = make(), make()
    for number, (row, outcome) in enumerate(zip(events.x[:600].tolist(), events.y[:600].tolist(), strict=True)):
        named = dict(zip(names, row, strict=True))
        assert one.predict_proba_one(named) == other.predict_proba_one(named)
        one.learn_one(named, outcome)
        other.learn_one(named, outcome)
        if number % 100 == 99:
            other = pickled.loads(pickled.dumps(other))
