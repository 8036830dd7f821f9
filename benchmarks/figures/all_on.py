"""All of it on - key check, signature check, counters, records written - against the same server without."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import ours
from benchmarks.bench import Bench, rate_of
from benchmarks.case import trees_case
from benchmarks.figure import Figure, thousands


def all_on(bench: Bench) -> list[Figure]:
    """The records go to a JSON-lines file, so that they are really taken from the queue."""
    case = trees_case()
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as folder:
        records = Path(folder) / "records.jsonl"
        flags = ("--record-file", str(records))
        with (
            ours.serve(case, *flags, key=True) as full,
            ours.serve(case, env=ours.on_path(ours.HERE / "bare")) as bare,
        ):
            on, off = full.traffic(case), bare.traffic(case)
            bench.warm(on, off)
            pairs = bench.turns(lambda: bench.load(on), lambda: bench.load(off))
        written = records.stat().st_size
    absolute = f"{thousands(rate_of([a for a, _ in pairs]))} to {thousands(rate_of([b for _, b in pairs]))}"
    return [
        Figure(
            "requests/s with all of it on against the same without",
            tuple(a.rate / b.rate for a, b in pairs),
            at_least=0.90,
            absolute=f"{absolute}; {written / 2**20:.0f} MiB of records written",
        ),
        Figure(
            "p99 with all of it on against the same without",
            tuple(a.p99_ms / b.p99_ms for a, b in pairs),
            at_most=1.10,
        ),
    ]
