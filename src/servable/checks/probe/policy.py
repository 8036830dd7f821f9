"""Policy of the probe: what is odd about answers, and what is worse than what. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from servable.bundles.answer import Answer
from servable.domain.batch import Array

WORST_FIRST: Final = ("fails", "is not finite", "runs away", "jumps", "depends on other rows", "flips", "saturates")
"""What can be odd, the worst first."""
FLIPPED: Final = 0.2
"""So many of the answers may become another class, or move by half of what they differ by, before that is odd."""
MOVED: Final = 0.5
STILL: Final = 0.05
"""Answers that differ by less than this share of what they did no longer depend on the rest of the row."""
JUMP: Final = 0.2
"""A hair's change may move a probability by so much."""
FEW: Final = 8
"""Rows below which a spread says nothing."""
ROUNDING: Final = 1e-4


class Scale(NamedTuple):
    """How answers to known rows lie: the least, the largest and their standard deviation; classes or numbers."""

    low: float
    high: float
    spread: float
    classes: bool

    @staticmethod
    def of(answer: Answer) -> Scale:
        """Of known rows."""
        strength = answer.strength()
        return Scale(float(strength.min()), float(strength.max()), float(strength.std()), answer.numbers is None)


def odd_rows(before: Answer, after: Answer, scale: Scale) -> dict[str, Array]:
    """For each thing that can be odd of one row alone: which are."""
    numbers = after.numbers if after.numbers is not None else after.scores
    finite = np.ones(len(after.strength()), bool) if numbers is None else _finite(numbers)
    flips, away = moved(before, after, scale), np.zeros(len(finite), bool)
    if not scale.classes:
        reach = scale.high - scale.low
        away = (after.strength() < scale.low - reach) | (after.strength() > scale.high + reach)
    return {"is not finite": ~finite, "runs away": away & finite, "flips": flips & finite}


def moved(before: Answer, after: Answer, scale: Scale) -> Array:
    """Which answers are another class now, or are further away than MOVED of what answers differ by."""
    if before.chosen is not None and after.chosen is not None:
        return np.asarray(names(before) != names(after), bool)
    return np.asarray(np.abs(after.strength() - before.strength()) > MOVED * max(scale.spread, ROUNDING))


def saturated(before: Array, after: Array) -> bool:
    """Whether answers that used to differ are now all the same."""
    return len(after) >= FEW and before.std() > ROUNDING and float(after.std()) <= STILL * float(before.std())


def jumped(before: Answer, after: Answer, scale: Scale) -> Array:
    """Which answers moved further than a hair's change of the input may move them."""
    gap = np.abs(after.strength() - before.strength())
    return np.asarray(gap > (JUMP if scale.classes else MOVED * max(scale.spread, ROUNDING)))


def names(answer: Answer) -> Array:
    """The chosen classes by name."""
    return np.asarray((*answer.classes, None), object)[answer.chosen]


def rank(what: str, share: float, size: float) -> tuple[Any, ...]:
    """The worst first; of the same kind, what concerns more rows, then what moves answers further."""
    return WORST_FIRST.index(what), -round(share, 3), -size


def _finite(numbers: Array) -> Array:
    finite = np.isfinite(numbers)
    return np.asarray(finite if finite.ndim == 1 else finite.all(axis=1))
