"""The probe: everything that is tried on a version, as one Verdict a kind, with the findings behind it.

Equal questions and seeds find the same.
"""

from __future__ import annotations

from itertools import chain
from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np

from servable.checks.examples import Examples
from servable.checks.gate import known_rows
from servable.checks.measure import Judged, judged
from servable.checks.probe.company import company
from servable.checks.probe.edges import edges
from servable.checks.probe.finding import Finding
from servable.checks.probe.ground import MOST_COLUMNS, Ground, ground_of
from servable.checks.probe.guards import guarded
from servable.checks.probe.regions import Region, errors_of, weak_regions
from servable.checks.probe.search import Asked, Search
from servable.checks.probe.small import small_changes
from servable.checks.subject import Subject
from servable.domain.batch import Batch
from servable.domain.columns import columns
from servable.domain.rule import Rule
from servable.domain.verdict import Verdict

ROWS: Final = 200
"""Known rows that every edge is tried on."""
BUDGET_S: Final = 60.0
"""Of a slow model fewer rows are asked, so that all edges take about this long."""
FEWEST: Final = 8
TRIALS: Final = (100, 22)
"""About as many calls with all rows does a probe make, and as many more for each column."""
REGIONS: Final = "weak regions"


class Probed(NamedTuple):
    """All that was found, the worst first."""

    ground: Ground
    findings: tuple[Finding, ...]
    regions: tuple[Region, ...]
    asked: dict[str, Asked]
    classes: bool = True
    labelled: bool = False

    def rules(self) -> list[Rule]:
        """Those that are offered, each once."""
        offered = [finding.rule for finding in self.findings if finding.rule is not None]
        return list({rule.name: rule for rule in [*offered, *(region.rule() for region in self.regions)]}.values())

    def verdicts(self) -> list[Verdict]:
        """One a kind of edge, and one of the weak regions where labels were given."""
        found = [self._of(kind, asked) for kind, asked in self.asked.items()]
        return [*found, self._of_regions()] if self.labelled else found

    def _of(self, kind: str, asked: Asked) -> Verdict:
        mine = [finding for finding in self.findings if finding.kind == kind]
        reason = f"{asked.rows} rows are answered as they should be"
        if mine:
            named = len({finding.columns for finding in mine})
            reason = mine[0].sentence + (f"; and {named - 1} more" if named > 1 else "")
        elif asked.kept_out == asked.rows:
            reason = f"the contract and the rules keep out, or flag, all {asked.rows} rows"
        elif asked.kept_out:
            reason += f", or kept out or flagged ({asked.kept_out})"
        numbers = {"asked": float(asked.rows), "kept_out": float(asked.kept_out), "findings": float(len(mine))}
        evidence: dict[str, Any] = {"findings": [finding.evidence(self.ground) for finding in mine]} if mine else {}
        return Verdict(kind, passed=not mine, reason=reason, numbers=numbers, evidence=evidence)

    def _of_regions(self) -> Verdict:
        if not self.regions:
            return Verdict(REGIONS, passed=True, reason="in no part of the data is it weaker than chance would have it")
        worst = self.regions[0]
        seen = f"{worst.error:.1%} wrong, {worst.elsewhere:.1%} elsewhere" if self.classes else (
            f"{worst.error:.4g} off, {worst.elsewhere:.4g} elsewhere"
        )  # fmt: skip
        reason = f"where {worst.text}: {seen} ({worst.rows} rows)"
        if len(self.regions) > 1:
            reason += f"; and {len(self.regions) - 1} more"
        slices = [region.evidence(classes=self.classes) for region in self.regions]
        return Verdict(
            REGIONS, passed=False, reason=reason, numbers={"regions": float(len(self.regions))},
            evidence={"slices": slices},
        )  # fmt: skip


def probe(model: Subject, examples: Examples | None = None, seed: int = 0) -> Probed:
    """Try everything. Raises what the model raises on known rows, CheckFailed where there are none."""
    rows = known_rows(model.bundle, examples)
    ground = ground_of(model.bundle, rows, _affordable(model, rows), seed)
    search = Search(ground, model)
    worst: dict[tuple[str, tuple[str, ...]], Finding] = {}
    for finding in chain(search.findings(edges(ground)), small_changes(search), company(search)):
        if finding is None:
            continue
        key = (finding.kind, finding.columns)
        if key not in worst or finding.rank < worst[key].rank:
            worst[key] = finding
    findings = sorted((guarded(finding, ground, rows) for finding in worst.values()), key=lambda each: each.rank)
    known = _judged(model, examples)
    regions = [] if known is None or examples is None else weak_regions(examples, errors_of(known))
    return Probed(ground, tuple(findings), tuple(regions), search.asked, search.scale.classes, known is not None)


def _judged(model: Subject, examples: Examples | None) -> Judged | None:
    if examples is None or examples.truth is None:
        return None
    return judged(model.answer(examples.batch), examples.truth)


def _affordable(model: Subject, rows: Batch) -> int:
    """How many rows each edge may be tried on."""
    some = rows.slice(0, min(ROWS, rows.rows))
    model.answer(some)
    start = perf_counter()
    model.answer(some)
    seconds = (perf_counter() - start) / some.rows
    wide = len(columns(some, model.bundle.signature.inputs))
    trials = TRIALS[0] + TRIALS[1] * min(wide, MOST_COLUMNS)
    return int(np.clip(BUDGET_S / trials / max(seconds, 1e-9), FEWEST, ROWS))
