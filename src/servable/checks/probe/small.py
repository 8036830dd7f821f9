"""Small changes: what no measurement can tell apart must not be told apart by the model either.

Along each column the steepest place is looked for and halved until it is a hair wide: a hundredth of the column's
standard deviation. Then all columns move by a hair at once, each in the direction that moves the answer, as in a
black-box attack (P.-Y. Chen et al., "ZOO", AISec 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from servable.bundles.answer import Answer
from servable.checks.probe.finding import Finding, words
from servable.checks.probe.ground import Ground, Known, take
from servable.checks.probe.policy import JUMP, MOVED, ROUNDING, jumped
from servable.checks.probe.search import Asked, Search
from servable.checks.probe.shrink import minimal
from servable.domain.batch import Array, Batch
from servable.domain.columns import columns

KIND: Final = "small change"
WHAT: Final = "jumps"
HAIR: Final = 0.01
ONE_IN: Final = 13
GRID: Final = 65
"""Values of a column that are tried on the typical row, and on one in so many others."""


def small_changes(search: Search) -> Iterator[Finding | None]:
    """One or none for each column that is a number with fractions, then one for all of them together."""
    ground = search.ground
    hairs = {name: hair for name, known in ground.known.items() if (hair := _hair(known))}
    for name, hair in hairs.items():
        yield _steepest(search, ground.known[name], hair)
    if len(hairs) > 1:
        yield _together(search, hairs)


def _steepest(search: Search, known: Known, hair: float) -> Finding | None:
    """Where a few rows jump as this column goes from its lowest to its highest value."""
    ground = search.ground
    bases = Batch.join([ground.typical, ground.rows.slice(0, ground.rows.rows // ONE_IN)])
    values = np.linspace(known.low or 0.0, known.high or 0.0, GRID)
    told = _along(search, bases, known.name, np.tile(values, (bases.rows, 1)))
    if told is None:
        return None
    jumps = np.abs(np.diff(told, axis=1))
    affected = int((jumps.max(axis=1) > _limit(search)).sum())
    if not affected:
        return None
    at = int(np.argmax(jumps.max(axis=1) > _limit(search)))  # the first: the typical row, if that jumps
    step = int(jumps[at].argmax())
    base = take(bases, np.array([at]))
    low, high = values[step], values[step + 1]
    ends = told[at, step], told[at, step + 1]
    while high - low > hair:
        middle = (low + high) / 2
        half = _along(search, base, known.name, np.array([[middle]]))
        if half is None:
            return None
        if abs(half[0, 0] - ends[0]) >= abs(ends[1] - half[0, 0]):
            high, ends = middle, (ends[0], half[0, 0])
        else:
            low, ends = middle, (half[0, 0], ends[1])
    first, second = (ground.changed(base, known.name, np.array([value])) for value in (low, high))
    before, after = search.answers(first)[0], search.answers(second)[0]
    if before is None or after is None or not jumped(before, after, search.scale)[0]:
        return None  # steep, but no jump
    return Finding(
        KIND, (known.name,), f"goes from {low:.6g} to {high:.6g}", WHAT, bases.rows, affected,
        abs(ends[1] - ends[0]) / max(search.scale.spread, ROUNDING), first, second, _score(before, 0), _score(after, 0),
    )  # fmt: skip


def _along(search: Search, bases: Batch, name: str, values: Array) -> Array | None:
    """The strength of each base at each of its values (bases × values); None where the model fails or is not let."""
    count = values.shape[1]
    rows = take(bases, np.repeat(np.arange(bases.rows), count))
    answer = _asked(search, search.ground.changed(rows, name, values.ravel()))
    return None if answer is None else answer.strength().reshape(bases.rows, count)


def _limit(search: Search) -> float:
    return JUMP if search.scale.classes else MOVED * max(search.scale.spread, ROUNDING)


def _together(search: Search, hairs: dict[str, float]) -> Finding | None:
    """All columns at once, each the way that moves the answer most."""
    ground, before = search.ground, search.before
    directions: dict[str, Array] = {}
    for name, hair in hairs.items():
        up, down = (
            _asked(search, _moved(ground, ground.rows, {name: np.full(ground.rows.rows, way)})) for way in (hair, -hair)
        )
        if up is None or down is None:
            continue
        gains = {hair: up.strength() - before.strength(), -hair: down.strength() - before.strength()}
        directions[name] = _direction(gains, before, hair)
    changed = _moved(ground, ground.rows, directions)
    answer = _asked(search, changed)
    if answer is None:
        return None
    far = jumped(before, answer, search.scale) & search.accepted(changed)
    return _fewest(search, directions, far) if far.any() else None


def _hair(known: Known) -> float:
    """What is added; 0 where the column cannot take it."""
    if not known.numeric or known.field.dtype.kind != "f" or known.seen.frequencies or not known.seen.std:
        return 0.0
    return HAIR * known.seen.std


def _moved(ground: Ground, rows: Batch, by: dict[str, Array]) -> Batch:
    held = columns(rows, ground.signature.inputs)
    for name, amount in by.items():
        rows = ground.changed(rows, name, held[name] + amount)
    return rows


def _asked(search: Search, rows: Batch) -> Answer | None:
    count = search.asked.get(KIND, Asked())
    kept_out = int(rows.rows - search.accepted(rows).sum())
    search.asked[KIND] = count.plus(rows.rows, kept_out)
    return search.answers(rows)[0]


def _direction(gains: dict[float, Array], before: Answer, hair: float) -> Array:
    """Of each row: which way takes the answer further from where it is, towards the other side."""
    up, down = gains[hair], gains[-hair]
    if before.numbers is not None:
        return np.asarray(np.where(np.abs(up) >= np.abs(down), hair, -hair) * ((up != 0) | (down != 0)))
    wanted = np.where(before.strength() >= np.median(before.strength()), -1.0, 1.0)
    return np.asarray(np.where(wanted * up > wanted * down, hair, -hair) * (up != down))


def _fewest(search: Search, directions: dict[str, Array], far: Array) -> Finding:
    """The first such row, with as few of its columns changed as it takes."""
    ground, at = search.ground, np.flatnonzero(far)[:1]
    base = take(ground.rows, at)
    before = search.before.of(at)

    def moved(names: list[str]) -> Batch:
        return _moved(ground, base, {name: directions[name][at] for name in names})

    def first_that_holds(choices: object) -> list[str] | None:
        for names in choices:  # type: ignore[attr-defined] # sequences of names
            answer, _ = search.answers(moved(list(names)))
            if answer is not None and jumped(before, answer, search.scale)[0]:
                return list(names)
        return None

    needed = [name for name, way in directions.items() if way[at][0] != 0]
    names = list(minimal(needed, first_that_holds))
    row = moved(names)
    answer, _ = search.answers(row)
    assert answer is not None  # noqa: S101 - it held a moment ago
    found = _finding(search, tuple(names), base, row, answer, np.array([True]))
    return found._replace(asked=ground.rows.rows, affected=int(far.sum()))


def _finding(
    search: Search, names: tuple[str, ...], rows: Batch, changed: Batch, answer: Answer, far: Array
) -> Finding:
    before = search.before if rows is search.ground.rows else search.answers(rows)[0]
    assert before is not None  # noqa: S101 - known rows are answered
    gaps = np.abs(answer.strength() - before.strength()) * far
    worst = int(gaps.argmax())
    at = np.array([worst])
    return Finding(
        KIND, names, f"moves by {HAIR:.0%} of a standard deviation", WHAT, rows.rows, int(far.sum()),
        float(gaps[worst]) / max(search.scale.spread, ROUNDING), take(rows, at), take(changed, at),
        _score(before, worst), _score(answer, worst),
    )  # fmt: skip


def _score(answer: Answer, at: int) -> str:
    """With the score that moved."""
    return words(answer, at) if answer.numbers is not None else f"{answer.strength()[at]:.3g}"
