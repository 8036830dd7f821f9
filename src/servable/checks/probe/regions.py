"""Regions: parts of the data where the model is wrong more often, or further, than elsewhere, with their support.

Conditions on one column, then on two, as in slice finding (Y. Chung et al., "Slice Finder", ICDE 2019). Those that
chance does not explain are kept (Fisher's exact test for classes, Benjamini-Hochberg over all that were tried), and
ranked by the errors that would be saved if they were like the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np

from servable.checks.examples import Examples
from servable.checks.measure import Judged
from servable.checks.probe.guards import quoted, slug
from servable.domain.batch import Array
from servable.domain.rule import Rule
from servable.errors import MissingExtra
from servable.statistics.interval import NORMAL
from servable.statistics.multiplicity import benjamini_hochberg
from servable.statistics.proportion import wilson

DECILES: Final = np.linspace(0, 1, 11)
FEWEST: Final = 20
SHARE: Final = 0.01
"""A region has at least so many rows, and so large a share of all."""
WIDEST: Final = 0.5
BEST: Final = 40
MOST_IN_PAIRS: Final = 150
"""Conditions that are tried in pairs: the best ones, and coarse ones whatever they say alone."""
THIRDS: Final = frozenset({(0, 3), (3, 7), (7, 10)})
"""In deciles."""
SHOWN: Final = 10
ALPHA: Final = 0.01
LIFT: Final = 1.5
"""Errors in a region are at least so many times those elsewhere: less is not weak."""
ALIKE: Final = 0.6
"""Two regions that share so much of their rows are one; the better is kept."""
MOST_VALUES: Final = 30


class Condition(NamedTuple):
    """Some values of a column: where `mask` is true. `text` is an expression, as rules have it."""

    column: str
    text: str
    mask: Array
    coarse: bool = True
    """Whether it is tried in pairs whatever it says alone: a value, or a third of the numbers."""


class Region(NamedTuple):
    """Rows that meet all conditions. `error` is the mean of their errors, `elsewhere` that of all others; `excess` how
    many errors, or how much error in all, it has more than if it were like the rest.
    """

    conditions: tuple[Condition, ...]
    rows: int
    error: float
    elsewhere: float
    excess: float
    p_value: float = 1.0

    @property
    def mask(self) -> Array:
        """Which rows."""
        return np.asarray(np.logical_and.reduce([condition.mask for condition in self.conditions]))

    @property
    def text(self) -> str:
        """As an expression."""
        return " and ".join(condition.text for condition in self.conditions)

    def rule(self) -> Rule:
        """What would tell of rows from here."""
        name = "-".join(slug(condition.column) for condition in self.conditions)
        return Rule(f"weak-{name}"[:128], "flag", f"the model errs more where {self.text}", when=self.text)

    def evidence(self, *, classes: bool) -> dict[str, Any]:
        """As JSON, and as a plot takes it."""
        low, high = self.error, self.error
        if classes:
            _, low, high = wilson(self.error * self.rows, self.rows)
        return {
            "slice": self.text, "rows": self.rows, "value": self.error, "low": low, "high": high, "passed": False,
            "elsewhere": self.elsewhere, "excess": self.excess, "p": self.p_value, "rule": self.rule().name,
        }  # fmt: skip


def errors_of(rows: Judged) -> Array:
    """Of each row: 1 where a class is wrong; of numbers, how far."""
    if rows.answer.chosen is not None:
        return np.asarray(rows.answer.chosen != rows.truth, float)
    assert rows.answer.numbers is not None  # noqa: S101 - one of the two
    return np.asarray(np.abs(rows.answer.numbers - rows.truth))


def weak_regions(examples: Examples, errors: Array) -> list[Region]:
    """The weakest first, at most SHOWN. Raises MissingExtra."""
    names = [str(name) for name in examples.table.columns if name != examples.label]
    conditions = [condition for name in names for condition in _of(examples, name)]
    single = [region for each in conditions if (region := _region((each,), errors)) is not None]
    single.sort(key=lambda region: -region.excess)
    best = [region.conditions[0] for region in single[:BEST]]
    chosen = {id(each): each for each in [*best, *(each for each in conditions if each.coarse)]}
    double = [
        region
        for pair in combinations(list(chosen.values())[:MOST_IN_PAIRS], 2)
        if pair[0].column != pair[1].column and (region := _region(pair, errors)) is not None
    ]
    # All conditions count as tried, and all pairs of them: those that were looked at were chosen by the same data.
    tried = len(conditions)
    found = [*_proven(single, errors, tried), *_proven(double, errors, tried * (tried - 1) // 2)]
    return _apart(sorted(found, key=_merit))


def _proven(regions: Sequence[Region], errors: Array, tried: int) -> list[Region]:
    if not regions:
        return []
    adjusted = benjamini_hochberg(_chances(regions, errors), tried)
    return [
        region._replace(p_value=value)
        for region, value in zip(regions, adjusted, strict=True)
        if value <= ALPHA and region.error >= LIFT * region.elsewhere
    ]


def _chances(found: Sequence[Region], errors: Array) -> list[float]:
    """One-sided p-values of the errors in each region being like those of all rows."""
    try:
        from scipy.stats import hypergeom
    except ImportError as error:
        raise MissingExtra("check", "find weak regions", missing=error.name) from error
    total, rows = len(errors), np.array([region.rows for region in found])
    if set(np.unique(errors)) <= {0.0, 1.0}:
        wrong = np.round([region.error * region.rows for region in found])
        return [float(chance) for chance in hypergeom.sf(wrong - 1, total, int(errors.sum()), rows)]
    gaps = np.array([region.error - region.elsewhere for region in found])
    spreads = np.sqrt(errors.var() * (1 / rows + 1 / (total - rows)))
    return [NORMAL.cdf(-gap / spread) if spread > 0 else 1.0 for gap, spread in zip(gaps, spreads, strict=True)]


def _merit(region: Region) -> tuple[float, float]:
    """Excess counts, and so does how much worse it is there: of two with like excess the purer comes first."""
    return -region.excess * np.sqrt(region.error / max(region.elsewhere, 1e-12)), region.rows


def _apart(ranked: list[Region]) -> list[Region]:
    kept: list[Region] = []
    for region in ranked:
        mask = region.mask
        if all((mask & other.mask).sum() < ALIKE * (mask | other.mask).sum() for other in kept):
            kept.append(region)
        if len(kept) == SHOWN:
            break
    return kept


def _region(conditions: tuple[Condition, ...], errors: Array) -> Region | None:
    """With its figures; None where it is too small, too large, or no worse than the rest."""
    mask = np.logical_and.reduce([condition.mask for condition in conditions])
    count, total = int(mask.sum()), len(errors)
    if count < max(FEWEST, SHARE * total) or count > WIDEST * total:
        return None
    inside, outside = errors[mask], errors[~mask]
    error, elsewhere = float(inside.mean()), float(outside.mean())
    if error <= elsewhere:
        return None
    return Region(conditions, count, error, elsewhere, (error - elsewhere) * count)


def _of(examples: Examples, name: str) -> Iterator[Condition]:
    series = examples.table[name]
    missing = series.isna().to_numpy()
    if missing.any():
        yield Condition(name, f"{quoted(name)} is missing", missing)
    if series.dtype.kind in "fiu" and series.nunique() > MOST_VALUES // 3:
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        yield from _ranges(name, values, missing)
        return
    counts = series.value_counts()
    for value in counts.index[:MOST_VALUES]:
        text = f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else _text(value)
        yield Condition(name, f"{quoted(name)} == {text}", (series == value).to_numpy(dtype=bool, na_value=False))


def _ranges(name: str, values: Array, missing: Array) -> Iterator[Condition]:
    """Every stretch from one decile to another."""
    edges = np.unique(np.quantile(values[~missing], DECILES))
    column = quoted(name)
    last = len(edges) - 1
    for start, stop in combinations(range(last + 1), 2):
        if (start, stop) == (0, last):
            continue
        with np.errstate(invalid="ignore"):
            above = values > edges[start] if start else np.ones(len(values), bool)
            mask = above & (values <= edges[stop]) & ~missing
        low, high = f"{edges[start]:.6g}", f"{edges[stop]:.6g}"
        if start == 0:
            text = f"{column} <= {high}"
        elif stop == last:
            text = f"{column} > {low}"
        else:
            text = f"{column} > {low} and {column} <= {high}"
        yield Condition(name, text, mask, (start, stop) in THIRDS)


def _text(value: Any) -> str:
    quoted_text = str(value).replace('"', '""')
    return f'"{quoted_text}"'
