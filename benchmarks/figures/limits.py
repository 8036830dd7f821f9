"""How close to the limits we serve: our door without a model, onnxruntime without a door."""

from __future__ import annotations

from benchmarks import ours
from benchmarks.bench import Bench, median, rate_of
from benchmarks.case import dense_case, in_process, mobile_case, trees_case
from benchmarks.dialect import Dialect, OpenInference, OpenInferenceBinary
from benchmarks.figure import Figure, thousands
from benchmarks.load.load import Load
from benchmarks.machine import SERVER_CORE

SERIAL_BATCH = 32


def door(bench: Bench) -> list[Figure]:
    """The trees against the same door before a runtime that computes nothing."""
    case = trees_case()
    fixed = ours.constant(case)
    with ours.serve(case) as full, ours.serve_constant(fixed) as empty:
        traffic, bare = full.traffic(case), empty.traffic(fixed)
        bench.warm(traffic, bare)
        pairs = bench.turns(lambda: bench.load(traffic), lambda: bench.load(bare))
    return [
        Figure(
            "requests/s against our own door with the model call left out",
            tuple(a.rate / b.rate for a, b in pairs),
            at_least=0.95,
            absolute=f"{thousands(rate_of([a for a, _ in pairs]))} to {thousands(rate_of([b for _, b in pairs]))}",
        )
    ]


def dense(bench: Bench) -> list[Figure]:
    """The dense network against what door and onnxruntime would give one after the other on the one core."""
    case, fixed = dense_case(), ours.constant(trees_case())
    with ours.serve(case) as full, ours.serve_constant(fixed) as empty:
        traffic, bare = full.traffic(case), empty.traffic(fixed)
        bench.warm(traffic, bare)
        rounds = bench.turns(
            lambda: bench.load(traffic).rate,
            lambda: bench.load(bare).rate,
            lambda: in_process(case, SERIAL_BATCH, bench.seconds / 2, SERVER_CORE),
        )
    served, empty_rate, computed = (median([each[place] for each in rounds]) for place in range(3))
    return [
        Figure(
            f"1-MFLOP network against the serial limit 1/(1/door + 1/onnxruntime at batch {SERIAL_BATCH})",
            tuple(rate * (1 / door_rate + 1 / model_rate) for rate, door_rate, model_rate in rounds),
            at_least=0.85,
            absolute=f"{thousands(served)}; door {thousands(empty_rate)}, onnxruntime {thousands(computed)} rows/s",
        )
    ]


def mobile(bench: Bench) -> list[Figure]:
    """The small MobileNet against onnxruntime in process, in JSON (the goal) and in binary (for information)."""
    text = _mobile(bench, OpenInference(), "JSON", 0.95, 200.0)
    return [*text, *_mobile(bench, OpenInferenceBinary(), "binary", None, None)]


def _mobile(
    bench: Bench, dialect: Dialect, form: str, at_least: float | None, at_most_ms: float | None
) -> list[Figure]:
    case = mobile_case()
    with ours.serve(case) as mine:
        traffic = mine.traffic(case, dialect)
        bench.warm(traffic)
        loads: list[Load] = []

        def served() -> float:
            loads.append(bench.load(traffic))
            return loads[-1].rate

        pairs = bench.turns(served, lambda: in_process(case, 1, bench.seconds / 2, SERVER_CORE))
    alone = median([rate for _, rate in pairs])
    return [
        Figure(
            f"MobileNet, {form}, requests/s against onnxruntime in process",
            tuple(rate / computed for rate, computed in pairs),
            at_least=at_least,
            absolute=f"{rate_of(loads):.0f} to {alone:.0f}, {1000 / alone:.2f} ms a call",
        ),
        Figure(
            f"MobileNet, {form}, p99 at 64 connections",
            tuple(load.p99_ms for load in loads),
            "ms",
            at_most=at_most_ms,
        ),
    ]
