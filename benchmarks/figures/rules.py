"""What rules cost a door: bounds on each of 30 columns, which no request crosses, against the same model without."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ours
from benchmarks.bench import Bench, median, rate_of
from benchmarks.case import Case, trees_case
from benchmarks.figure import Figure, thousands
from servable.bundles.open import open_bundle
from servable.bundles.ruled import ruled
from servable.domain.rule import Rule

COLUMNS = 30


def rules(bench: Bench) -> list[Figure]:
    """One row and 32 rows a request; an expression beside the bounds, for information."""
    bounds = [_bounded(column) for column in range(COLUMNS)]
    expression = Rule("ratio", when="x[0] > 1e6 * x[1] and not (x[2] < x[3] / 1e6)")
    return [
        *_rate(bench, trees_case(), "bounds on 30 columns", bounds, 0.90),
        *_rate(bench, trees_case(rows=32), "bounds on 30 columns, 32 rows a request,", bounds, 0.90),
        *_rate(bench, trees_case(), "bounds and an expression over 4 columns", [*bounds, expression]),
    ]


def _bounded(column: int) -> Rule:
    """A rule that no row of breast cancer's meets."""
    return Rule(f"column-{column}", column=f"x[{column}]", low=-1.0, high=1e6, action="clip")


def _rate(bench: Bench, case: Case, name: str, guarding: Sequence[Rule], goal: float | None = None) -> list[Figure]:
    """Requests a second with these rules, against the same without; and the processor time of one."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as folder:
        guarded = ruled(open_bundle(case.model), guarding, Path(folder) / case.model.stem)
        with ours.serve(case, model=guarded.folder) as with_rules, ours.serve(case) as plain:
            on, off = with_rules.traffic(case), plain.traffic(case)
            bench.warm(on, off)
            pairs = bench.turns(lambda: bench.cost(on, with_rules.door), lambda: bench.cost(off, plain.door))
    mine, bare = zip(*pairs, strict=True)
    return [
        Figure(
            f"requests/s with {name} against without",
            tuple(a.rate / b.rate for a, b in pairs),
            at_least=goal,
            absolute=f"{thousands(rate_of(mine))} to {thousands(rate_of(bare))}",
        ),
        Figure(
            f"requests with {name} against without, by processor time",
            tuple(b.cpu_us / a.cpu_us for a, b in pairs),
            absolute=f"{median([a.cpu_us for a in mine]):.1f} to {median([b.cpu_us for b in bare]):.1f} µs a request",
        ),
    ]
