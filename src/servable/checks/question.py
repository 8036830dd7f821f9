"""Question: all that the gate is asked about a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from servable.checks.case import Case
from servable.checks.examples import Examples
from servable.domain.demand import Demand


class Question(NamedTuple):
    """What the gate is asked. `by` are columns to slice by, besides those that a demand names itself; rows of one value
    of `cluster` are not independent of each other.
    """

    demands: tuple[Demand, ...] = ()
    examples: Examples | None = None
    cases: Sequence[Case] = ()
    by: tuple[str, ...] = ()
    margin: float | None = None
    seed: int = 0
    cluster: str | None = None
