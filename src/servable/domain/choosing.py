"""Choosing: what a bandit that chooses among versions of a name takes and tells. Pure; nothing is loaded or run."""

from __future__ import annotations

from typing import Final

from servable.domain.batch import Batch
from servable.domain.signature import Signature

ACTION: Final = "action"
PROPENSITY: Final = "propensity"
"""The outputs of a bandit: for each row what it chose, and the probability with which it did. Inputs of these names
tell it what somebody else has chosen.
"""


def actions_of(bandit: Signature) -> tuple[str, ...]:
    """What it chooses among; empty: it is no bandit."""
    action, propensity = bandit.output(ACTION), bandit.output(PROPENSITY)
    return () if action is None or propensity is None else tuple(map(str, action.categories))


def context_of(bandit: Signature) -> tuple[str, ...]:
    """The inputs that it judges by.

    >>> from servable.domain.field import Field
    >>> told = (Field("action", "BYTES", values="missing"), Field("id", "BYTES", values="missing", content="id"))
    >>> context_of(Signature((Field("x", "FP32"), *told), (Field("action", "BYTES"),)))
    ('x',)
    """
    known = {ACTION, PROPENSITY}
    return tuple(field.name for field in bandit.inputs if field.name not in known and field.content != "id")


def lacking(bandit: Signature, asked: Signature) -> list[str]:
    """What requests to a version do not tell that the bandit judges by; empty: nothing."""
    told = []
    for name in context_of(bandit):
        own, given = bandit.input(name), asked.input(name)
        assert own is not None  # noqa: S101 - it is one of its inputs
        if given is None and own.values != "missing":
            told.append(f"there is no input {name!r}")
        elif given is not None and (given.datatype != own.datatype or not own.fits(given.shape)):
            told.append(f"the input {name!r} is {given.describe()}, and the bandit takes {own.describe()}")
    return told


class Context:
    """Takes out of a request to a version what a bandit judges by.

    >>> import numpy as np
    >>> from servable.domain.field import Field
    >>> told = (Field("action", "BYTES", values="missing"), Field("id", "BYTES", values="missing", content="id"))
    >>> context = Context(Signature((Field("x", "FP32"), *told), (Field("action", "BYTES"),)))
    >>> sorted(context.of(Batch({"x": np.ones(1, np.float32), "z": np.ones(1)})).columns)
    ['action', 'id', 'x']
    >>> context.of(Batch({"x": np.array([np.nan], np.float32)})) is None
    True
    """

    def __init__(self, bandit: Signature) -> None:
        self.bandit = bandit
        known = context_of(bandit)
        self._judged = Signature(tuple(field for field in bandit.inputs if field.name in known), (), bandit.batched)
        self._possible = all(field.values == "missing" for field in bandit.inputs if field.name not in known)

    def of(self, batch: Batch) -> Batch | None:
        """The rows as the bandit takes them; None if it does not. Only what came is judged, not what is filled in."""
        columns = {
            field.name: batch.columns[field.name] for field in self._judged.inputs if field.name in batch.columns
        }
        known = self._judged.complete(Batch(columns, batch.rows))
        return self.bandit.complete(known) if self._possible and not self._judged.check(known) else None
