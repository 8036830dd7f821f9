"""Success: when a prediction was one, as its answer and its outcome tell."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from servable.domain.outcome import Value

Said = float | str | None
"""What a model answered to one row: a number, a class, or neither (a text, a vector)."""

HALF = 0.5


class Success(NamedTuple):
    """`correct`: the class that was answered came true. `within`: the number that was answered is no further from the
    outcome. `outcome`: the outcome itself says so (a click, a purchase), whatever was answered.
    """

    kind: Literal["correct", "within", "outcome"]
    reach: float = 0.0


def parse_success(text: str) -> Success:
    """`correct`, `outcome` or `within=NUMBER`. Raises ValueError that says so.

    >>> parse_success("within=2.5")
    Success(kind='within', reach=2.5)
    """
    if text == "correct":
        return Success("correct")
    if text == "outcome":
        return Success("outcome")
    kind, _, number = text.partition("=")
    try:
        reach = float(number)
    except ValueError:
        reach = -1.0
    if kind != "within" or not 0 <= reach < math.inf:
        raise ValueError(f"success: expected correct, outcome or within=NUMBER, got {text!r}")
    return Success("within", reach)


def succeeded(success: Success, said: Said, outcome: Value) -> bool | None:
    """Whether it was a success; None where these two cannot tell.

    A single number between 0 and 1, held against an outcome of 0 or 1, is the probability of 1.

    >>> correct = Success("correct")
    >>> succeeded(correct, "8", 8.0), succeeded(correct, 0.7, 1), succeeded(correct, 0.7, "yes")
    (True, True, None)
    >>> succeeded(Success("within", 2.0), 11.5, 10), succeeded(Success("outcome"), None, False)
    (True, False)
    """
    number = None if isinstance(outcome, str) else float(outcome)
    if success.kind == "outcome":
        return bool(number) if number in {0.0, 1.0} else None
    if success.kind == "within":
        return None if number is None or not isinstance(said, float) else abs(said - number) <= success.reach
    if isinstance(said, float):
        return (said >= HALF) == bool(number) if 0 <= said <= 1 and number in {0.0, 1.0} else None
    return None if said is None else said == _class_text(outcome)


def _class_text(outcome: Value) -> str:
    """A class as text, however it is stored: 8 and 8.0 are one."""
    return str(int(outcome)) if isinstance(outcome, float) and outcome.is_integer() else str(outcome)
