"""Edges: what can be wrong with a row, made on purpose: one column at a time, from what was seen in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from servable.checks.probe.ground import Ground, Known
from servable.domain.batch import Array, Batch
from servable.domain.columns import columns
from servable.domain.datatypes import FLOATS

UNITS: Final[dict[str, Callable[[Array], Array]]] = {
    "× 1000": lambda values: values * 1000,
    "÷ 1000": lambda values: values / 1000,
    "× 100": lambda values: values * 100,
    "÷ 100": lambda values: values / 100,
}
"""Grams for kilograms, metres for millimetres, shares for percents, cents for euros."""
DEGREES: Final[dict[str, tuple[Callable[[Array], Array], float, float]]] = {
    "°C as °F": (lambda values: values * 1.8 + 32, -90.0, 60.0),
    "°F as °C": (lambda values: (values - 32) / 1.8, -130.0, 140.0),
}
"""Two thermometers, for columns whose values could be weather."""
HUGE: Final = 1e15
FAR: Final = 10.0
"""An extreme lies this many ranges outside of what was seen."""
JUST: Final = 0.01
"""Just outside is this share of the range."""
STRANGE: Final = "a value never seen"
DATES: Final = ("1900-01-01", "2100-01-01")
TEXTS: Final = {
    "is empty": "", "is a blank": " ", "is 10,000 letters long": "a" * 10_000, "is signs": "!?%&\t\n",
    "is of other scripts": "αλφα 文字 🙂",
}  # fmt: skip
NEIGHBOURS: Final = 3
"""A column may be taken for one of so many that follow it."""
MOST_PAIRS: Final = 120


class Edge(NamedTuple):
    """One thing that is wrong: its kind, the columns, a few words, and how rows look with it.

    `value` is the number that every row has then, where it is one.
    """

    kind: str
    columns: tuple[str, ...]
    told: str
    apply: Callable[[Batch], Batch]
    value: float | None = None


def edges(ground: Ground) -> Iterator[Edge]:
    """All that fit the columns. Those that the contract refuses are among them: whoever asks leaves them out."""
    for known in ground.known.values():
        if known.field.values != "finite" and known.field.datatype in FLOATS | {"BYTES"}:
            absent = np.nan if known.field.datatype in FLOATS else None
            yield _fixed(ground, "missing", known, "is missing", absent)
        if known.numeric:
            yield from _numbers(ground, known)
        elif known.seen.kind == "categorical":
            yield from _categories(ground, known)
        elif known.seen.kind == "text":
            for told, text in TEXTS.items():
                yield _fixed(ground, "extreme", known, told, text)
        elif known.seen.kind == "date":
            for date in DATES:
                yield _fixed(ground, "extreme", known, f"is {date}", date)
    yield from _swaps(ground)


def _numbers(ground: Ground, known: Known) -> Iterator[Edge]:
    low, high, spread = known.low or 0.0, known.high or 0.0, known.spread
    whole = known.field.dtype.kind != "f"
    for kind, numbers in (
        ("boundary", (low, high, low - JUST * spread, high + JUST * spread)),
        ("extreme", (low - FAR * spread, high + FAR * spread)),
        ("huge", (-HUGE, HUGE)),
    ):
        for number in numbers:
            value = float(np.round(number)) if whole else number
            if known.fits(value):
                yield _fixed(ground, kind, known, f"is {value:.6g}", value, value)
    if low > 0:
        yield _computed(ground, "sign", known, "has the other sign", np.negative)
    for told, unit in UNITS.items():
        yield _computed(ground, "wrong unit", known, told, unit)
    for told, (unit, coldest, hottest) in DEGREES.items():
        if not whole and coldest <= low and high <= hottest:
            yield _computed(ground, "wrong unit", known, told, unit)


def _categories(ground: Ground, known: Known) -> Iterator[Edge]:
    if known.field.datatype != "BYTES":
        return
    common = str(known.typical)
    for value in dict.fromkeys((STRANGE, "", common.upper(), common.lower(), f" {common} ")):
        if value not in known.seen.frequencies:
            yield _fixed(ground, "unseen category", known, f"is {value!r}", value)


def _swaps(ground: Ground) -> Iterator[Edge]:
    """Columns that stand close to each other and hold numbers of one field, exchanged."""
    numbers = [known for known in ground.known.values() if known.numeric]
    pairs = [
        (one.name, other.name)
        for at, one in enumerate(numbers)
        for other in numbers[at + 1 : at + 1 + NEIGHBOURS]
        if one.field.datatype == other.field.datatype
    ]
    for first, second in pairs[:MOST_PAIRS]:

        def swap(batch: Batch, first: str = first, second: str = second) -> Batch:
            held = columns(batch, ground.signature.inputs)
            one, other = held[first].copy(), held[second].copy()
            return ground.changed(ground.changed(batch, first, other), second, one)

        yield Edge("swapped columns", (first, second), "are exchanged", swap)


def _fixed(ground: Ground, kind: str, known: Known, told: str, value: Any, number: float | None = None) -> Edge:
    return Edge(kind, (known.name,), told, lambda batch: ground.changed(batch, known.name, value), number)


def _computed(ground: Ground, kind: str, known: Known, told: str, compute: Callable[[Array], Array]) -> Edge:
    def apply(batch: Batch) -> Batch:
        held = columns(batch, ground.signature.inputs)[known.name].astype(np.float64)
        with np.errstate(all="ignore"):
            wanted = compute(held)
        if known.field.dtype.kind != "f":
            limits = np.iinfo(known.field.dtype)
            wanted = np.clip(np.round(wanted), float(limits.min) / 2, float(limits.max) / 2)
        return ground.changed(batch, known.name, wanted)

    return Edge(kind, (known.name,), told, apply)
