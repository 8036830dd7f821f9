"""From the start of the process to the first right answer, and what a door with the model holds in memory."""

from __future__ import annotations

from benchmarks import ours
from benchmarks.bench import Bench
from benchmarks.case import trees_case
from benchmarks.figure import Figure
from benchmarks.machine import memory_mib


def start(bench: Bench) -> list[Figure]:
    """Each repeat is a new server on one core; memory is read after it has been loaded for a while."""
    case = trees_case()
    seconds, rss, pss, watcher = [], [], [], []
    for repeat in range(bench.repeats):
        bench.tell(f"{repeat + 1} of {bench.repeats}")
        with ours.serve(case) as mine:
            bench.warm(mine.traffic(case))
            seconds.append(mine.start_s)
            door_rss, door_pss = memory_mib(mine.door)
            rss.append(door_rss)
            pss.append(door_pss)
            watcher.append(memory_mib(mine.process.pid)[1] if mine.door != mine.process.pid else 0.0)
    return [
        Figure("from process start to the first correct prediction", tuple(seconds), "s", at_most=1.2),
        Figure(
            "memory of a door with the model loaded (RSS)",
            tuple(rss),
            "MiB",
            at_most=110.0,
            absolute=f"PSS {max(pss):.0f} MiB, and {max(watcher):.0f} MiB for the supervisor of all doors",
        ),
    ]
