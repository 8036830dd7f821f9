"""What a process of its own costs a model: the rate over HTTP, the hop, large tensors, memory with two doors.

The same door serves the same file both times.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import uvloop

from benchmarks import ours
from benchmarks.bench import Bench
from benchmarks.case import Case, dense_case, large_case, trees_case
from benchmarks.figure import Figure
from benchmarks.machine import tree
from servable.domain.batch import Batch
from servable.engine.executor import Outcome
from servable.engine.process.client import RemoteExecutor
from servable.engine.process.remote import RemoteModel
from servable.engine.request import Request
from tests.custom import custom
from tests.engine.process.started import model_process

LARGE_ROWS: Final = 50_000
LARGE_COLUMNS: Final = 250
"""Of 4 bytes each: 50 MB."""
MODEL: Final = """
import servable

class Columns(servable.PythonModel):
    inputs = {{"x": "FP32 [-1, {columns}]"}}
    outputs = {{"y": "FP32 [-1, {given}]"}}

    def predict(self, batch):
        return {{"y": batch["x"][:, :{given}]}}
"""


def rate(bench: Bench, case: Case, name: str) -> Figure:
    """Requests a second with the model isolated, against the same in the door. All of a server shares one core."""
    with ours.serve(case, env={"SERVABLE_ISOLATE": "all"}) as apart, ours.serve(case) as inside:
        far, near = apart.traffic(case), inside.traffic(case)
        bench.warm(far, near)
        pairs = bench.turns(lambda: bench.load(far), lambda: bench.load(near))
    rates = [f"{statistics.median(load.rate for load in loads):.0f}" for loads in zip(*pairs, strict=True)]
    return Figure(
        f"{name} in a process of its own against in the door",
        tuple(far.rate / near.rate for far, near in pairs),
        at_least=0.5,
        absolute=f"{rates[0]} to {rates[1]} requests/s",
    )


def hop(bench: Bench) -> Figure:
    """From the door's loop to a model that computes nothing, and back: one row of 30 features."""
    batch = Batch({"x": np.random.default_rng(0).random((1, 30), np.float32)})
    with _columns(30, 1) as address:
        runs = bench.turns(lambda: np.percentile(uvloop.run(_calls(address, batch, 4000))[500:], (50, 99)) * 1e3)
    p50s, p99s = zip(*(run for (run,) in runs), strict=True)
    return Figure(
        "hop to a model process and back, p50",
        tuple(float(p50) for p50 in p50s),
        "ms",
        at_most=0.150,
        absolute=f"p99 {statistics.median(p99s):.3f} ms",
    )


def large(given: int, name: str) -> Figure:
    """A call with 50 MB in, against copying 50 MB once."""
    x = np.random.default_rng(0).random((LARGE_ROWS, LARGE_COLUMNS), np.float32)
    with _columns(LARGE_COLUMNS, given) as address:
        seconds = uvloop.run(_calls(address, Batch({"x": x}), 15))[3:]
    target, copies = np.empty_like(x), []
    for _ in range(15):
        start = time.perf_counter()
        np.copyto(target, x)
        copies.append(time.perf_counter() - start)
    copy_s = statistics.median(copies[3:])
    return Figure(
        f"call with {name} against one copy of 50 MB",
        tuple(second / copy_s for second in seconds),
        at_most=1.5 if given == 1 else None,
        absolute=f"{statistics.median(seconds) * 1e3:.1f} ms to {copy_s * 1e3:.1f} ms",
    )


def memory(case: Case) -> Figure:
    """The model's memory, PSS of all model processes, with two doors against one."""
    seen = []
    for workers in ("1", "2"):
        with ours.serve(case, env={"SERVABLE_ISOLATE": "all", "SERVABLE_WORKERS": workers}) as server:
            seen.append(_pss_of_models(server.process.pid))
    return Figure(
        "PSS of the processes of a 400 MB model with two doors against one",
        (seen[1] / seen[0],),
        at_most=1.15,
        absolute=f"{seen[1]:.0f} to {seen[0]:.0f} MiB",
    )


@contextlib.contextmanager
def _columns(columns: int, given: int) -> Iterator[str]:
    """A process with a model that answers with the first columns of its rows."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as folder:
        bundle = custom(Path(folder) / "bundle", MODEL.format(columns=columns, given=given))
        with model_process(bundle) as address:
            yield address


async def _calls(address: str, batch: Batch, count: int) -> list[float]:
    """Seconds of each of `count` calls, one after another."""
    executor = RemoteModel("m", [address], lambda _: None, stuck_after_s=60.0, max_answer_bytes=1 << 30).executors()[0]
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        await _call(executor, batch)
        seconds.append(time.perf_counter() - start)
    executor.close()
    return seconds


async def _call(executor: RemoteExecutor, batch: Batch) -> None:
    done: asyncio.Future[Outcome | list[Outcome]] = asyncio.get_running_loop().create_future()
    executor.run([Request("r", batch, lambda _: None)], 0.001, lambda outcome, _: done.set_result(outcome))
    if not isinstance(await done, Batch):
        raise TypeError(f"no answer but {done.result()}")


def _pss_of_models(pid: int) -> float:
    """MiB, by the kernel's account."""
    total = 0.0
    for child in tree(pid):
        if b"servable.engine.process.main" in Path(f"/proc/{child}/cmdline").read_bytes():
            rollup = Path(f"/proc/{child}/smaps_rollup").read_text(encoding="ascii")
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
    return total


def process(bench: Bench) -> list[Figure]:
    """The hop, large tensors, memory, and the rate."""
    return [
        hop(bench),
        large(1, "50 MB in"),
        large(LARGE_COLUMNS, "50 MB in and 50 MB out"),
        memory(large_case()),
        rate(bench, trees_case(), "trees"),
        rate(bench, dense_case(), "a 1-MFLOP network"),
    ]
