"""Bulk jobs: rows a second beside onnxruntime in this process, memory, Redis. Tables are asked in `lookups.py`.

ROWS (1,000,000 of itself) is how many rows the Parquet file holds; the goals are stated for 10,000,000.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

import servable
from benchmarks import models
from benchmarks.bench import Bench
from benchmarks.figure import Figure
from benchmarks.machine import tree_memory_mib
from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.engine.plan import Target
from servable.offline.hands import Engine
from servable.offline.job import Wish, run
from servable.stores.tables.generation import Generation
from servable.stores.tables.keys import encode
from servable.stores.tables.layout import Layout
from servable.stores.tables.open import open_tables
from tests.stores.tables import places

ROWS: Final = int(os.environ.get("ROWS", "1000000"))
REPEATS: Final = int(os.environ.get("REPEATS", "3"))
GROUP: Final = 131_072
CORES: Final = len(os.sched_getaffinity(0))


def night(path: Path, rows: int = ROWS) -> None:
    """Rows like those of the breast-cancer data, with a key."""
    from sklearn.datasets import load_breast_cancer

    x = load_breast_cancer().data.astype(np.float32)
    draw = np.random.default_rng(0)
    writer = None
    for start in range(0, rows, GROUP):
        count = min(GROUP, rows - start)
        values = x[draw.integers(0, len(x), count)] * draw.normal(1, 0.05, (count, 30)).astype(np.float32)
        columns = {"id": pa.array(np.arange(start, start + count))}
        table = pa.table(columns | {f"f{at}": pa.array(values[:, at]) for at in range(30)})
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=GROUP)
    if writer is not None:
        writer.close()


class Rate(NamedTuple):
    """Rows a second, and the processor time of one, in ns: where others work beside us, the second is the fairer."""

    rows: float
    cpu_ns: float


def used_s() -> float:
    """Processor time of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def plain(path: Path) -> Rate:
    """Onnxruntime in this process, nothing read or written: a thread a core, each with a session of one thread, which
    is faster here than one session of as many.
    """
    sessions = [_session() for _ in range(CORES)]
    table = parquet.ParquetFile(path).read_row_group(0)
    rows = np.column_stack([table.column(f"f{at}").to_numpy() for at in range(30)])
    parts = [np.ascontiguousarray(rows[start : start + 16_384]) for start in range(0, len(rows), 16_384)]
    rounds = max(1, min(ROWS, 2_000_000) // len(rows) // CORES)

    def work(session: Any) -> None:
        for _ in range(rounds):
            for part in parts:
                session.run(None, {"x": part})

    before = used_s()
    with ThreadPoolExecutor(CORES) as threads:
        taken = seconds(lambda: list(threads.map(work, sessions)))
    count = rounds * CORES * len(rows)
    return Rate(count / taken, (used_s() - before) / count * 1e9)


def by_hand(path: Path, folder: Path) -> Rate:
    """What a careful program of twenty lines does: onnxruntime in this process from Parquet to Parquet. A thread a core
    reads groups of rows, asks a session of its own, and writes rows and answers into a file of its own, without the
    dictionaries that numbers gain nothing by. Nothing is checked, put on disk, or gone on with.
    """
    folder.mkdir(exist_ok=True)

    def work(at: int) -> None:
        session, file = _session(), parquet.ParquetFile(path)
        with contextlib.ExitStack() as held:
            writer = None
            for number in range(at, file.num_row_groups, CORES):
                table = file.read_row_group(number, use_threads=False)
                rows = np.column_stack([table.column(f"f{at}").to_numpy() for at in range(30)])
                label, probabilities = session.run(None, {"x": rows})
                for name, column in (("label", label), ("p0", probabilities[:, 0]), ("p1", probabilities[:, 1])):
                    table = table.append_column(name, pa.array(column))
                target = folder / f"{at}.parquet"
                writer = writer or held.enter_context(parquet.ParquetWriter(target, table.schema, use_dictionary=False))
                writer.write_table(table)

    before = used_s()
    with ThreadPoolExecutor(CORES) as threads:
        taken = seconds(lambda: list(threads.map(work, range(CORES))))
    return Rate(ROWS / taken, (used_s() - before) / ROWS * 1e9)


def _session() -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(models.trees()), options)


def job(path: Path, home: Path, **wish: Any) -> Rate:
    """A job, from the call to the verdict, of a bundle, as the registry holds them."""
    packed = home / "bundle"
    bundle = open_bundle(packed) if packed.exists() else servable.pack(models.trees(), name="trees", output=packed)
    target = Target("trees", "1", str(packed), bundle.digest)
    tables = open_tables(home)
    start, before = time.perf_counter(), used_s()
    run(
        Wish(str(path), key="id", engine=Engine(workers=CORES), **wish),
        target,
        bundle,
        home,
        tables,
    )
    taken, cpu = time.perf_counter() - start, used_s() - before
    tables.close()
    return Rate(ROWS / taken, cpu / ROWS * 1e9)


def rates(folder: Path, path: Path) -> list[Figure]:
    """Jobs against onnxruntime, in turns: alone, with nothing read or written, and in a program from file to file."""
    home, output = folder / "home", str(folder / "out")
    turns = [
        (plain(path), by_hand(path, folder / "by-hand"), job(path, home, output=output), job(path, home, table="trees"))
        for _ in range(REPEATS)
    ]
    figures = []
    for name, base, mine, goal in (
        ("a bulk job into Parquet against onnxruntime alone", 0, 2, 0.8),
        ("a bulk job into LMDB against onnxruntime alone", 0, 3, 0.6),
        ("a bulk job against onnxruntime and pyarrow by hand, Parquet to Parquet", 1, 2, None),
    ):
        theirs, own = turns[-1][base], turns[-1][mine]
        told = f"{ROWS:,} rows, {CORES} cores; {own.rows:,.0f} to {theirs.rows:,.0f} rows/s"
        ratios = tuple(one[mine].rows / one[base].rows for one in turns)
        figures.append(Figure(name, ratios, at_least=goal, absolute=told))
        told = f"{own.cpu_ns:,.0f} to {theirs.cpu_ns:,.0f} ns a row"
        ratios = tuple(one[base].cpu_ns / one[mine].cpu_ns for one in turns)
        figures.append(Figure(f"{name}, by processor time", ratios, absolute=told))
    return figures


def memory(folder: Path, path: Path) -> Figure:
    """The most that the command and its workers hold together, into a table and into Parquet: PSS of the whole tree,
    with the pages of files that are mapped.
    """
    table = _most_memory(folder, path, "--table", "memory")
    output = _most_memory(folder, path, "--output", str(folder / "out"))
    told = f"{ROWS:,} rows, the command and {CORES} workers; {table:.0f} into LMDB, {output:.0f} into Parquet"
    return Figure("memory of a bulk job, at most", (max(table, output),), "MiB", at_most=500, absolute=told)


def _most_memory(folder: Path, path: Path, *where: str) -> float:
    command = [
        sys.executable, "-m", "servable", "batch", str(models.trees()), "--input", str(path), "--key", "id",
        *where, "--home", str(folder / "home"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    most = 0.0
    while process.poll() is None:
        most = max(most, tree_memory_mib(process.pid)[1])
        time.sleep(0.1)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return most


def redis(folder: Path) -> Figure:
    """Rows a second into Redis, from arrays to the finished generation."""
    count = 200_000
    with places.redis(folder) as url:
        tables = open_tables(folder, url)
        generation = open_tables(folder / "home").live("trees")
        layout = Layout(generation.columns)
        batch = Batch({field.name: np.zeros((16_384, *field.shape[1:]), field.dtype) for field in generation.columns})
        start = time.perf_counter()
        with tables.begin(Generation("r", "trees", "1", "d", 0.0, "integer", generation.columns)) as writer:
            for at in range(0, count, 16_384):
                writer.write(encode(np.arange(at, at + 16_384)), layout.encode(batch))
            rows = writer.finish().rows
        rate = rows / (time.perf_counter() - start)
        tables.close()
    return Figure("rows a second into Redis", (rate,), "rows/s", at_least=100_000)


def seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


def bulk(bench: Bench) -> list[Figure]:
    """All of them, over one file. Those of jobs say themselves how often they are taken."""
    del bench
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        folder = Path(text)
        path = folder / "night.parquet"
        night(path)
        return [*rates(folder, path), memory(folder, path), redis(folder)]
