"""How far a machine that does not learn is behind the one that does, idle and loaded, and how long taking over takes.

Two servers on the same two cores, each with a home of its own; PostgreSQL, Redis and NATS beside them.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter, sleep
from typing import Final

import numpy as np

from benchmarks import learning
from benchmarks.bench import Bench, median
from benchmarks.figure import Figure, thousands
from benchmarks.load.load import Load
from benchmarks.traffic import HOST
from tests.postgresql import postgresql
from tests.servers import nats_server, redis_server

ROWS: Final = 10
"""Of a lesson."""
LEASE_S: Final = 5.0
"""As it is unless somebody sets it."""
DEATHS: Final = 3


def fleet(bench: Bench) -> list[Figure]:
    """States through each of the places; then deaths."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        folder = Path(text)
        model = learning.described(folder)
        figures = []
        for name, place in (("PostgreSQL", _nothing), ("Redis", _redis), ("NATS", lambda: _nats(folder))):
            bench.tell(f"states through {name}")
            with place() as states, postgresql() as own:
                figures += ages(bench, model, name, {"SERVABLE_LEARNING_URL": own, "SERVABLE_LEARNING_STATES": states})
        with postgresql() as own:
            figures.append(takeover(bench, model, {"SERVABLE_LEARNING_URL": own}))
        return figures


def ages(bench: Bench, model: Path, name: str, env: dict[str, str]) -> list[Figure]:
    """From when the machine that learns answers with an example to when another does, seen by one who asks that one
    again and again.
    """
    with ExitStack() as stack:
        learns, follows = _two(stack, model, env)
        idle, loaded, middles, rates = [], [], [], []
        for _ in range(bench.repeats):
            p50, p99 = _ages_ms(learns, follows, bench.seconds)
            idle.append(p99)
            middles.append(p50)
        figures = [
            Figure(
                f"a machine is behind the one that learns, states through {name}: p99",
                tuple(idle),
                "ms",
                absolute=f"p50 {median(middles):.0f} ms",
            )
        ]
        if env["SERVABLE_LEARNING_STATES"]:
            return figures
        questions = follows.questions()
        middles = []
        for _ in range(bench.repeats):
            found: list[Load] = []
            load = threading.Thread(target=lambda found=found: found.append(bench.load(questions)))
            load.start()
            p50, p99 = _ages_ms(learns, follows, bench.seconds)
            load.join()
            loaded.append(p99)
            middles.append(p50)
            rates.append(found[0].rate)
        told = f"p50 {median(middles):.0f} ms; {thousands(median(rates))} requests/s meanwhile"
        return [
            *figures,
            Figure(
                "a machine that is asked at full speed is behind, states through PostgreSQL: p99",
                tuple(loaded),
                "ms",
                absolute=told,
            ),
        ]


def takeover(bench: Bench, model: Path, env: dict[str, str]) -> Figure:
    """From `kill -9` of the server of the machine that learns to the first example that another has learned."""
    seconds = []
    with ExitStack() as stack:
        learns, follows = _two(stack, model, env)
        for death in range(min(bench.repeats, DEATHS)):
            bench.tell(f"death {death + 1}")
            _teach(learns, 100)
            os.kill(learns.server, signal.SIGKILL)
            begun = perf_counter()
            while not _taught(follows):
                sleep(0.02)
            seconds.append(perf_counter() - begun)
            learns, follows = follows, stack.enter_context(learning.serve(model, env=env))
    return Figure(
        "kill -9 of the machine that learns, to the first example that another has learned",
        tuple(seconds),
        "s",
        at_most=2 * LEASE_S,
        absolute=f"a lease of {LEASE_S:g} s",
    )


def _two(stack: ExitStack, model: Path, env: dict[str, str]) -> tuple[learning.Learning, learning.Learning]:
    """The one that learns, and another."""
    learns = stack.enter_context(learning.serve(model, env=env))
    while not _taught(learns):
        sleep(0.02)
    return learns, stack.enter_context(learning.serve(model, env=env))


def _ages_ms(learns: learning.Learning, follows: learning.Learning, seconds: float) -> tuple[float, float]:
    """p50 and p99 over the answers of the one that follows."""
    offsets: list[int] = []
    times: list[float] = []
    over = threading.Event()

    def teach() -> None:
        while not over.is_set():
            offset = _teach(learns, ROWS)
            times.append(perf_counter())
            offsets.append(offset)

    teacher = threading.Thread(target=teach)
    teacher.start()
    seen: list[tuple[float, int]] = []
    question = json.dumps({"inputs": [learning.tensor(np.zeros((1, learning.WIDTH)))]})
    connection = http.client.HTTPConnection(HOST, follows.port, timeout=60)
    begun = perf_counter()
    while perf_counter() - begun < seconds:
        connection.request("POST", f"{learning.PATH}/infer", question)
        offset = json.loads(connection.getresponse().read())["parameters"]["offset"]
        seen.append((perf_counter(), offset))
        sleep(0.002)
    connection.close()
    over.set()
    teacher.join()
    ages = []
    for at, offset in seen:
        newer = bisect_right(offsets, offset)  # the first of those that it does not know
        ages.append(max(at - times[newer], 0.0) * 1e3 if newer < len(offsets) else 0.0)
    p50, p99 = np.percentile(ages, (50, 99))
    return float(p50), float(p99)


def _teach(machine: learning.Learning, rows: int) -> int:
    """The offset once it answers with them."""
    x, y = learning.stream(rows, seed=3)
    lesson = {"inputs": [learning.tensor(x)], "outcomes": y.tolist()}
    return int(machine.ask("POST", "/learn?wait=applied", lesson)["offset"])


def _taught(machine: learning.Learning) -> bool:
    try:
        return bool(_teach(machine, 1))
    except ValueError:  # nobody learns yet
        return False


@contextmanager
def _nothing() -> Iterator[str]:
    yield ""


@contextmanager
def _redis() -> Iterator[str]:
    with redis_server() as server:
        yield server.url


@contextmanager
def _nats(folder: Path) -> Iterator[str]:
    with nats_server(folder / "nats") as server:
        yield server.url
