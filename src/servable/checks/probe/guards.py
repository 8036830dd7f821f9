"""Guards: the Rule that would keep a finding's rows from the model, or flag them. Offered only where it fires on the
finding, and on nearly none of the rows that are known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from servable.checks.probe.finding import Finding
from servable.checks.probe.ground import Ground, Known
from servable.domain.batch import Batch
from servable.domain.columns import columns
from servable.domain.rule import Rule
from servable.rules.compile import BadRule
from servable.rules.guard import Guard

SLACK: Final = 0.1
"""Bounds stand this share of the range outside of what was seen."""
WRONG: Final = 0.01
"""A rule that fires on more than this share of known rows is no guard."""
MOST_CATEGORIES: Final = 50


def guarded(finding: Finding, ground: Ground, rows: Batch) -> Finding:
    """The finding with the first rule that would guard it, if there is one."""
    for rule in _rules(finding, ground, rows):
        try:
            guard = Guard([rule], ground.signature)
            fires, falsely = guard.judge(finding.row), guard.judge(rows)
        except (BadRule, ValueError):
            continue
        if fires and sum(len(each.rows) for each in falsely) <= WRONG * rows.rows:
            return finding._replace(rule=rule)
    return finding


def _rules(finding: Finding, ground: Ground, rows: Batch) -> Iterator[Rule]:
    for name in finding.columns:
        known = ground.known.get(name)
        if known is None:
            continue
        if finding.kind == "missing":
            yield Rule(f"{slug(name)}-present", "flag", f"{name} is missing", column=name, present=True)
        elif finding.kind == "unseen category" and 0 < len(known.seen.frequencies) <= MOST_CATEGORIES:
            allowed = tuple(known.seen.frequencies)
            yield Rule(f"{slug(name)}-known", "flag", f"{name} was never seen so", column=name, allowed=allowed)
        elif known.numeric:
            yield _bounds(known)
    if finding.kind == "swapped columns":
        yield from _order(finding, rows, ground)


def _bounds(known: Known) -> Rule:
    """What was seen, with some slack; what was never negative stays so."""
    low, high = known.low or 0.0, known.high or 0.0
    slack = SLACK * known.spread
    least = 0.0 if low >= 0 and low - slack < 0 else low - slack
    reason = f"{known.name} was between {low:.6g} and {high:.6g} in training"
    return Rule(
        f"{slug(known.name)}-range", "flag", reason, column=known.name, low=_round(least, math.floor),
        high=_round(high + slack, math.ceil),
    )  # fmt: skip


def _order(finding: Finding, rows: Batch, ground: Ground) -> Iterator[Rule]:
    """Where one column was always above the other: when it is not."""
    first, second = finding.columns[:2]
    held = columns(rows, ground.signature.inputs)
    with np.errstate(invalid="ignore"):
        gap = held[first].astype(float) - held[second].astype(float)
    for more, less, share in ((first, second, np.nanmean(gap >= 0)), (second, first, np.nanmean(gap <= 0))):
        if share >= 1 - WRONG:
            when = f"{quoted(more)} < {quoted(less)}"
            name = f"{slug(more)}-above-{slug(less)}"[:128]
            yield Rule(name, "flag", f"{more} was above {less} in training", when=when)


def quoted(name: str) -> str:
    """A column's name in an expression."""
    return name if re.fullmatch(r"[^\W\d]\w*", name) else f"`{name}`"


def slug(name: str) -> str:
    """A column's name as part of a rule's.

    >>> slug("mean area (mm²)")
    'mean-area-mm'
    """
    text = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
    return (text or "column")[:60]


def _round(value: float, outward: object) -> float:
    """To four digits, away from what was seen."""
    if value == 0 or not math.isfinite(value):
        return value
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
    rounded = outward(value / unit) * unit  # type: ignore[operator] # floor or ceil
    return float(f"{rounded:.6g}")
