"""Shrink: a row that shows something, made as plain as it can be while it still does.

Delta debugging (A. Zeller and R. Hildebrandt, IEEE Transactions on Software Engineering 28, 2002), towards the typical
row: what is left different from that is what it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from servable.checks.probe.ground import Ground, take
from servable.domain.batch import Array, Batch
from servable.domain.columns import columns

STEPS: Final = 40
"""Values that are tried between what was seen and what was found."""

Holds = Callable[[Batch], Array]
"""Tells of each of several rows whether it still shows what was found."""


def shrink(ground: Ground, row: Batch, fixed: Sequence[str], holds: Holds) -> Batch:
    """The row with as few columns as possible other than in the typical row. `fixed` columns stay as they are."""
    own, plain = columns(row, ground.signature.inputs), columns(ground.typical, ground.signature.inputs)
    differ = [name for name in ground.known if name not in fixed and not _same(own[name][0], plain[name][0])]

    def with_own(names: Sequence[str]) -> Batch:
        made = ground.typical
        for name in (*names, *fixed):
            made = ground.changed(made, name, own[name])
        return made

    def first_that_holds(choices: Sequence[Sequence[str]]) -> Sequence[str] | None:
        if not choices:
            return None
        shows = holds(Batch.join([with_own(names) for names in choices]))
        return next((names for names, good in zip(choices, shows, strict=True) if good), None)

    return with_own(minimal(differ, first_that_holds))


def minimal(
    needed: Sequence[str], first_that_holds: Callable[[Sequence[Sequence[str]]], Sequence[str] | None]
) -> Sequence[str]:
    """As few of the names as still hold together. `first_that_holds` is asked several choices at once.

    >>> minimal("abcdefgh", lambda choices: next((c for c in choices if {"b", "g"} <= set(c)), None))
    ['b', 'g']
    """
    left = list(needed)
    if first_that_holds([[]]) is not None:
        return []
    parts = 2
    while len(left) > 1:
        cut = [list(chunk) for chunk in np.array_split(np.asarray(left, object), min(parts, len(left)))]
        rest = [[name for name in left if name not in chunk] for chunk in cut]
        smaller = first_that_holds(cut) or first_that_holds(rest if len(cut) > 2 else [])
        if smaller is not None:
            parts = max(2, parts - 1) if len(smaller) > len(left) / 2 else 2
            left = list(smaller)
        elif parts >= len(left):
            break
        else:
            parts = min(2 * parts, len(left))
    return left


def start(ground: Ground, base: Batch, name: str, seen: float, found: float, holds: Holds) -> float | None:
    """The value nearest to what was seen from which on it shows, on the way to where it was found; None: never."""
    reach = abs(found - seen)
    if not np.isfinite(reach) or reach == 0:
        return None
    steps = reach * np.geomspace(1e-6, 1.0, STEPS)
    values = seen + np.sign(found - seen) * steps
    if ground.known[name].field.dtype.kind != "f":
        values = np.round(values)
    rows = ground.changed(take(base, np.zeros(STEPS, int)), name, values)
    shows = np.flatnonzero(holds(rows))
    return float(values[shows[0]]) if len(shows) else None


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - NaN is like NaN here
