"""`python -m benchmarks.profile`: where a door spends its time under load, by py-spy, which it installs for itself.

Writes .cache/bench/profile.svg, a flame graph, and prints the functions that hold the most samples themselves.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

from benchmarks import ours, venv
from benchmarks.bench import CONNECTIONS
from benchmarks.case import trees_case
from benchmarks.dialect import OpenInference, OpenInferenceBinary
from benchmarks.load.checked import checked
from benchmarks.load.wrk import closed_loop
from benchmarks.machine import LOAD_CORE, cpu_s
from benchmarks.models import CACHE

RATE_HZ = 500
SHOWN = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the trees, load the door, sample it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--rows", type=int, default=1, help="rows of a request")
    parser.add_argument("--binary", action="store_true", help="ask with binary tensors")
    options = parser.parse_args(arguments)
    spy = venv.python_of("py-spy", ("py-spy",)).with_name("py-spy")
    CACHE.mkdir(parents=True, exist_ok=True)
    graph, stacks = CACHE / "profile.svg", CACHE / "profile.txt"
    case = trees_case(options.rows)
    with ours.serve(case) as mine:
        traffic = mine.traffic(case, OpenInferenceBinary() if options.binary else OpenInference())
        checked(traffic, options.connections, 1)
        before = cpu_s(mine.door)
        load = closed_loop(traffic, options.connections, options.seconds, LOAD_CORE)
        cost_us = (cpu_s(mine.door) - before) / load.requests * 1e6
        for form, path in (("raw", stacks), ("flamegraph", graph)):
            sample = [
                "taskset", "-c", str(LOAD_CORE), str(spy), "record", "--pid", str(mine.door), "--rate", str(RATE_HZ),
                "--duration", str(round(options.seconds)), "--format", form, "--output", str(path), "--nonblocking",
            ]  # fmt: skip
            with subprocess.Popen(sample, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as spying:
                closed_loop(traffic, options.connections, options.seconds, LOAD_CORE)
                spying.wait()
    print(
        f"{load.rate:,.0f} requests/s, p50 {load.p50_ms:.2f} ms, p99 {load.p99_ms:.2f} ms; "
        f"{cost_us:.1f} µs of the door's CPU a request"
    )
    own: Counter[str] = Counter()
    for line in stacks.read_text().splitlines():
        frames, _, samples = line.rpartition(" ")
        own[frames.rpartition(";")[2]] += int(samples)
    for name, count in own.most_common(SHOWN):
        print(f"{100 * count / own.total():5.1f} %  {name}")
    print(f"flame graph: {graph}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
