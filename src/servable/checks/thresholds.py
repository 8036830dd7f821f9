"""Metrics against their thresholds, and against the champion's on the same rows: overall and slice by slice."""

from __future__ import annotations

from collections.abc import Iterator

from servable.checks.examples import Examples
from servable.checks.measure import Judged, gap, interval
from servable.checks.policy import Part, judge_not_worse, judge_threshold
from servable.domain.demand import NotWorse, Threshold
from servable.domain.verdict import Verdict
from servable.statistics.interval import Interval


def threshold(demand: Threshold, rows: Judged, examples: Examples, seed: int) -> Verdict:
    """A metric against a number. Raises UsageError for a metric or column that there is not."""
    parts = [
        Part(name, len(some), interval(demand.metric, some, demand.of, seed=seed))
        for name, some in _parts(rows, demand.by, examples)
    ]
    return judge_threshold(demand, parts)


def not_worse(
    demand: NotWorse, rows: Judged, champion: Judged, examples: Examples, *, ref: str, margin: float, seed: int
) -> Verdict:
    """A metric against the champion's. Raises UsageError."""
    parts = []
    for (name, ours), (_, theirs) in zip(
        _parts(rows, demand.by, examples), _parts(champion, demand.by, examples), strict=True
    ):
        found = gap(demand.metric, ours, theirs, -margin, demand.of, seed=seed)
        parts.append(Part(name, len(ours), Interval(*found.interval), found.p_value))
    return judge_not_worse(demand.text, demand.metric, margin, ref, parts)


def _parts(rows: Judged, by: tuple[str, ...], examples: Examples) -> Iterator[tuple[str, Judged]]:
    yield "", rows
    for column in by:
        for part in examples.slices(column):
            yield part.name, rows.of(part.rows)
