"""How long answers take: many connections, one connection, and users who do not wait for each other."""

from __future__ import annotations

from functools import partial

from benchmarks import ours
from benchmarks.bench import CONNECTIONS, Bench
from benchmarks.case import trees_case
from benchmarks.figure import Figure
from benchmarks.load.open_loop import open_loop
from benchmarks.machine import LOAD_CORE

OPEN_RATES = (5_000, 10_000)
OPEN_CONNECTIONS = 256


def latency(bench: Bench) -> list[Figure]:
    """Closed loop at 64 connections and at one; open loop at fixed rates."""
    case = trees_case()
    with ours.serve(case) as mine:
        traffic = mine.traffic(case)
        bench.warm(traffic)
        rounds = bench.turns(
            lambda: bench.load(traffic),
            lambda: bench.load(traffic, connections=1),
            *(partial(open_loop, traffic, rate, OPEN_CONNECTIONS, bench.seconds, LOAD_CORE) for rate in OPEN_RATES),
        )
    many, one, *opened = zip(*rounds, strict=True)
    return [
        Figure(f"p99 at {CONNECTIONS} connections", tuple(load.p99_ms for load in many), "ms", at_most=15.0),
        Figure("a single connection, p50", tuple(load.p50_ms for load in one), "ms", at_most=0.2),
        *(
            Figure(
                f"open loop, {rate} requests/s arriving at random, p99 from the moment due",
                tuple(load.p99_ms for load in loads),
                "ms",
                absolute=f"p50 {sorted(load.p50_ms for load in loads)[len(loads) // 2]:.2f} ms",
            )
            for rate, loads in zip(OPEN_RATES, opened, strict=True)
        ),
    ]
