"""What rules cost a door: bounds on each of 30 columns, which no request crosses, against the same model without.

`python -m benchmarks.rules` prints one line a figure, with its goal. Both servers take turns on the same core.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ours
from benchmarks.bench import Bench
from benchmarks.case import Case, trees_case
from benchmarks.figure import Figure, thousands
from servable.bundles.open import open_bundle
from servable.bundles.ruled import ruled
from servable.domain.rule import Rule

COLUMNS = 30


def bounded(column: int) -> Rule:
    """A rule that no row of breast cancer's meets."""
    return Rule(f"column-{column}", column=f"x[{column}]", low=-1.0, high=1e6, action="clip")


def rate(bench: Bench, case: Case, name: str, rules: Sequence[Rule], goal: float | None = None) -> Figure:
    """Requests a second with these rules, against the same without."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as folder:
        guarded = ruled(open_bundle(case.model), rules, Path(folder) / case.model.stem)
        with ours.serve(case, model=guarded.folder) as with_rules, ours.serve(case) as plain:
            on, off = with_rules.traffic(case), plain.traffic(case)
            bench.warm(on, off)
            pairs = bench.turns(lambda: bench.load(on), lambda: bench.load(off))
    medians = [thousands(statistics.median(load.rate for load in loads)) for loads in zip(*pairs, strict=True)]
    return Figure(
        f"requests/s with {name} against without",
        tuple(on.rate / off.rate for on, off in pairs),
        at_least=goal,
        absolute=f"{medians[0]} to {medians[1]}",
    )


def main() -> int:
    """Measure all; 1 if a goal is missed."""
    bench = Bench(int(os.environ.get("REPEATS", "3")), float(os.environ.get("SECONDS", "3")), lambda _: None)
    bounds = [bounded(column) for column in range(COLUMNS)]
    expression = Rule("ratio", when="x[0] > 1e6 * x[1] and not (x[2] < x[3] / 1e6)")
    figures = [
        rate(bench, trees_case(), "bounds on 30 columns", bounds, 0.90),
        rate(bench, trees_case(rows=32), "bounds on 30 columns, 32 rows a request,", bounds, 0.90),
        rate(bench, trees_case(), "bounds and an expression over 4 columns", [*bounds, expression]),
        rate(bench, trees_case(), "an empty list of rules", ()),
    ]
    for figure in figures:
        verdict = {True: "met", False: "MISSED", None: "-"}[figure.passed]
        print(f"{figure.seen:8.3f} {figure.unit}  {figure.goal():9} {verdict:7} {figure.name} ({figure.absolute})")
    return 1 if any(figure.passed is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
