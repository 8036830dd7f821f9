"""Policy of the gate: what passes. Pure: from numbers to yes or no, with the reason in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from servable.domain.demand import METRICS, Threshold
from servable.domain.verdict import Verdict
from servable.statistics.interval import Interval
from servable.statistics.multiplicity import benjamini_hochberg

FEWEST: Final = 50
"""Rows of a slice below which it is shown, and not judged: too few to say anything."""
ALPHA: Final = 0.025
"""One-sided: what a 95 % interval leaves on each side."""


class Part(NamedTuple):
    """A metric of some rows: of all (`name` is empty) or of a slice. `p_value` where it is held against a champion."""

    name: str
    rows: int
    interval: Interval
    p_value: float = math.nan

    def evidence(self, **more: Any) -> dict[str, Any]:
        """As JSON has it: NaN is null."""
        estimate, low, high = (None if math.isnan(end) else end for end in self.interval)
        return {"slice": self.name or "all", "rows": self.rows, "value": estimate, "low": low, "high": high, **more}


def judge_threshold(demand: Threshold, parts: Sequence[Part]) -> Verdict:
    """Whether all rows, and every slice of at least FEWEST, meet the demand."""
    overall = parts[0]
    told, failed, few = [], [], 0
    for part in parts:
        enough = part is overall or part.rows >= FEWEST
        holds = demand.holds(_asked(demand, part.interval))
        few += not enough
        if enough and not holds:
            failed.append(part)
        told.append(part.evidence(passed=holds if enough else None))
    reason = _said(demand, failed[0] if failed else overall) + _rest(len(failed), len(parts) - 1 - few, few)
    numbers = _numbers(overall) | {"limit": demand.limit, "rows": float(overall.rows)}
    return Verdict(demand.text, passed=not failed, reason=reason, numbers=numbers, evidence={"slices": told})


def judge_not_worse(check: str, metric: str, margin: float, champion: str, parts: Sequence[Part]) -> Verdict:
    """Whether the gap to the champion is proven to be above minus the margin, overall and in every slice.

    Over slices the p-values are adjusted (Benjamini-Hochberg), so that few of many are found good by chance.
    """
    overall, *slices = parts
    judgeable = [part for part in slices if part.rows >= FEWEST and not math.isnan(part.interval.estimate)]
    adjusted = benjamini_hochberg([part.p_value for part in judgeable])
    chances = {part.name: value for part, value in zip(judgeable, adjusted, strict=True)}
    told, failed = [], []
    for part in parts:
        chance = chances.get(part.name)
        if part is overall:
            proven: bool | None = part.interval.low > -margin or _same(part)
        else:
            proven = None if chance is None else chance <= ALPHA or _same(part)
        if proven is False:
            failed.append(part)
        told.append(part.evidence(passed=proven, p=chance))
    few = len(slices) - len(judgeable)
    shown = failed[0] if failed else overall
    reason = _compared(metric, margin, champion, shown, failed=bool(failed))
    reason += _rest(len(failed), len(judgeable), few)
    numbers = _numbers(overall) | {"margin": margin, "rows": float(overall.rows)}
    return Verdict(check, passed=not failed, reason=reason, numbers=numbers, evidence={"slices": told})


def _asked(demand: Threshold, interval: Interval) -> float:
    """What is held against the limit: the estimate, or, `surely`, the end of the interval that is worse."""
    if not demand.surely:
        return interval.estimate
    return interval.low if demand.comparison in {">=", ">"} else interval.high


def _said(demand: Threshold, part: Part) -> str:
    of = f" of {demand.of!r}" if demand.of else ""
    where = f" where {part.name}" if part.name else ""
    if math.isnan(part.interval.estimate):
        return f"{demand.metric}{of}{where} cannot be computed from {part.rows} rows: none of them tells it"
    return f"{demand.metric}{of}{where} is {part.interval} on {part.rows} rows"


def _compared(metric: str, margin: float, champion: str, part: Part, *, failed: bool) -> str:
    where = f" where {part.name}" if part.name else ""
    better = {"higher": "above", "lower": "below", "zero": "above"}[METRICS[metric]]
    gap = part.interval
    if math.isnan(gap.estimate):
        return f"{metric}{where} cannot be computed from {part.rows} rows"
    side = f"{abs(gap.estimate):.4g} {better if gap.estimate >= 0 else _other(better)}"
    told = f"{metric}{where} is {side} {champion} on the same {part.rows} rows (gain {gap})"
    if not failed:
        return f"{told}: proven not to be worse by {margin:g}"
    if gap.high < -margin:
        return f"{told}: worse by more than {margin:g}"
    return f"{told}: it may be worse by more than {margin:g}"


def _rest(failed: int, judged: int, few: int) -> str:
    """What is said of all that is not shown."""
    told = ""
    if failed > 1:
        told = f"; {failed - 1} more {'fails' if failed == 2 else 'fail'}"
    elif judged and not failed:
        told = "; it holds in the one slice" if judged == 1 else f"; it holds in all {judged} slices"
    return f"{told} (slices of fewer than {FEWEST} rows, not judged: {few})" if few else told


def _same(part: Part) -> bool:
    """Whether the two do not differ in a single resample."""
    return part.interval.low == part.interval.high == 0


def _other(word: str) -> str:
    return {"above": "below", "below": "above"}[word]


def _numbers(part: Part) -> dict[str, float]:
    found = {"value": part.interval.estimate, "low": part.interval.low, "high": part.interval.high}
    return {name: value for name, value in found.items() if not math.isnan(value)}
