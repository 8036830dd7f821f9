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


def context(batch: Batch, bandit: Signature) -> Batch | None:
    """The rows of a request as the bandit takes them; None if it does not."""
    names = [name for name in context_of(bandit) if name in batch.columns]
    known = bandit.complete(Batch({name: batch.columns[name] for name in names}, batch.rows))
    return None if bandit.check(known) else known
