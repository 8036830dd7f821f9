"""The binary tensor extension, 32 rows of 30 floats a request, and against the same in JSON."""

from __future__ import annotations

from benchmarks import ours
from benchmarks.bench import Bench, rate_of
from benchmarks.case import trees_case
from benchmarks.dialect import OpenInferenceBinary
from benchmarks.figure import Figure, thousands

ROWS = 32


def binary(bench: Bench) -> list[Figure]:
    """One server, asked in both forms in turn."""
    case = trees_case(ROWS)
    with ours.serve(case) as mine:
        raw, text = mine.traffic(case, OpenInferenceBinary()), mine.traffic(case)
        bench.warm(raw, text)
        pairs = bench.turns(lambda: bench.load(raw), lambda: bench.load(text))
    text_rate = rate_of([b for _, b in pairs])
    return [
        Figure(
            f"binary extension, {ROWS} × 30 floats a request",
            tuple(a.rate * ROWS for a, _ in pairs),
            "rows/s",
            at_least=300_000,
            absolute=f"{thousands(rate_of([a for a, _ in pairs]))} requests/s",
        ),
        Figure(
            "the same against JSON",
            tuple(a.rate / b.rate for a, b in pairs),
            at_least=2.0,
            absolute=f"JSON {thousands(text_rate * ROWS)} rows/s",
        ),
    ]
