"""Pickled: the state of a learner in Python as bytes, such that what is read from them is as quick as what was made.

CPython 3.11 and 3.12 keep the attributes of a fresh object in the object itself. To pickle it gives it a dictionary of
its own, for good, and so does reading it back as pickle usually writes it; all that touches it afterwards takes up to
a third longer. Here attributes are written so that reading sets them one by one, as `__init__` would. Whoever goes on
with what was read back is as quick as ever.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Callable
from functools import partial
from operator import methodcaller
from typing import Any, Final

PROTOCOL: Final = 5

Reduce = Callable[[Any], Any]


class _Table(dict[type, Reduce]):
    """How the objects of a type are written: asked by the pickler, found out once for each type."""

    def __missing__(self, kind: type) -> Reduce:
        if issubclass(kind, type):  # a class: the pickler writes its name
            raise KeyError(kind)
        reduce: Reduce | None = copyreg.dispatch_table.get(kind)
        if reduce is None:
            reduce = partial(_reduced, _described(kind)) if _plain(kind) else methodcaller("__reduce_ex__", PROTOCOL)
        self[kind] = reduce
        return reduce


def _plain(kind: type) -> bool:
    """Whether to set its attributes one by one is to give it its state."""
    *own, _ = kind.__mro__  # the last is object
    return not any(name in vars(base) for base in own for name in ("__setstate__", "__setattr__"))


def _described(kind: type) -> frozenset[str]:
    """Names whose assignment runs code, or goes elsewhere: properties, slots."""
    return frozenset(
        name for base in kind.__mro__ for name, value in vars(base).items() if hasattr(type(value), "__set__")
    )


def _reduced(described: frozenset[str], value: Any) -> Any:
    """What pickle would write, but the attributes as what is set, and not as a dictionary to be taken over."""
    made = value.__reduce_ex__(PROTOCOL)
    if type(made) is tuple and len(made) > 2 and type(made[2]) is dict and described.isdisjoint(made[2]):
        return (*made[:2], (None, made[2]), *made[3:])
    return made


_table: Final = _Table()


def dumps(state: Any) -> bytes:
    """A state as bytes. Raises what pickle raises for what it cannot write."""
    written = io.BytesIO()
    pickler = pickle.Pickler(written, PROTOCOL)
    pickler.dispatch_table = _table
    pickler.dump(state)
    return written.getvalue()


def loads(data: bytes) -> Any:
    """The state. It runs what is in them: only for bytes that this very source wrote, behind a digest."""
    return pickle.loads(data)  # noqa: S301 - see above
