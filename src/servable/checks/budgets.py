"""Budgets: what the model itself may cost: time of a call with one row, size of its bundle, time to load."""

from __future__ import annotations

from time import perf_counter
from typing import Final

import numpy as np

from servable.checks.subject import Subject
from servable.domain.batch import Batch
from servable.domain.demand import Threshold
from servable.domain.verdict import Verdict

CALLS: Final = 1000
FIRST: Final = 20
"""Calls before any is counted: they allocate."""
BUDGET_S: Final = 3.0
"""No more calls than fit into this: of a slow model fewer are measured."""
MIB: Final = 1024 * 1024


def call_times_s(model: Subject, rows: Batch) -> list[float]:
    """Seconds of calls with one row each, one after another, on this machine as it is now."""
    ones = [rows.slice(at, at + 1) for at in range(min(rows.rows, 64))] if model.bundle.signature.batched else [rows]
    times: list[float] = []
    begun = perf_counter()
    for number in range(FIRST + CALLS):
        start = perf_counter()
        model.model.predict(ones[number % len(ones)])
        end = perf_counter()
        if number >= FIRST or end - begun > BUDGET_S:
            times.append(end - start)
        if end - begun > BUDGET_S:
            break
    return times


def budget(demand: Threshold, model: Subject, rows: Batch) -> Verdict:
    """A budget against its number."""
    if demand.metric == "size_mb":
        value = sum(file.bytes for file in model.bundle.manifest.files) / MIB
        told = f"the bundle is {value:.3g} MiB large"
    elif demand.metric == "load_s":
        value = model.load_s
        told = f"it took {value:.3g} s to load and to reproduce its golden rows"
    else:
        times = call_times_s(model, rows)
        value = float(np.percentile(times, 50 if demand.metric == "p50_ms" else 99)) * 1e3
        told = f"{demand.metric.removesuffix('_ms')} of {len(times)} calls with one row is {value:.3g} ms"
    numbers = {"value": value, "limit": demand.limit}
    return Verdict(demand.text, passed=demand.holds(value), reason=told, numbers=numbers)
