"""Outcome: what became of a prediction, told later by its id. Corrections supersede; "none yet" is no outcome."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

Value = bool | int | float | str
"""What may have become of it: a truth, a number, a class."""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """`id` is that of the prediction; `version` counts corrections from 0; `time` says when it came about, in seconds
    since the epoch (0: nobody said).
    """

    id: str
    outcome: Value
    time: float = 0.0
    version: int = 0


def standing(told: Iterable[Outcome]) -> Outcome | None:
    """The one that holds, of all that were told of a prediction, in the order in which they came: that of the highest
    version, of these the latest, of these the first: told again, it changes nothing.

    >>> one, again = Outcome("a", 1), Outcome("a", 0)
    >>> standing([one, again]).outcome, standing([again, Outcome("a", 1, version=1), again]).outcome
    (1, 1)
    """
    return max(told, key=lambda outcome: (outcome.version, outcome.time), default=None)
