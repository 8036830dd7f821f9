"""Look-ups in a table in LMDB: in this process and over HTTP, one key and a hundred, and the switch of a generation.

ROWS (10,000,000 of itself) is how many rows the table holds: what does not fit the processor's caches is slower.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import ours
from benchmarks.bench import Bench, median, rate_of
from benchmarks.case import trees_case
from benchmarks.figure import Figure, thousands
from benchmarks.traffic import HOST, OK, Refused, Traffic
from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.offline.asked import Asked
from servable.offline.lookup import Lookup
from servable.stores.tables.generation import Generation
from servable.stores.tables.keys import encode
from servable.stores.tables.layout import Layout
from servable.stores.tables.open import FOLDER, open_tables

ROWS: Final = int(os.environ.get("ROWS", "10000000"))
BLOCK: Final = 131_072
TABLE: Final = "trees"
COLUMNS: Final = (Field("label", "INT64", (-1,)), Field("probabilities", "FP32", (-1, 2)))


def lookups(bench: Bench) -> list[Figure]:
    """All of them, in one table."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        home = Path(text)
        for _ in range(2):
            fill(home)
        return [*in_process(home), *over_http(bench, home)]


def fill(home: Path) -> None:
    """A generation with the answers of two classes, as a job would make it."""
    draw, layout, tables = np.random.default_rng(0), Layout(COLUMNS), open_tables(home)
    with tables.begin(Generation(TABLE, "trees", "1", "d", time.time(), "integer", COLUMNS, "id")) as writer:
        for start in range(0, ROWS, BLOCK):
            keys = np.arange(start, min(start + BLOCK, ROWS))
            yes = draw.random(len(keys), np.float32)
            batch = Batch({"label": (yes > 0.5).astype(np.int64), "probabilities": np.column_stack([1 - yes, yes])})
            writer.write(encode(keys), layout.encode(batch))
        tables.switch(TABLE, writer.finish().number)
    tables.close()


def in_process(home: Path) -> list[Figure]:
    """Keys at random; in processor time, as nothing in a look-up waits."""
    tables = open_tables(home)
    draw = np.random.default_rng(1)
    numbers = draw.integers(0, ROWS, 50_000)
    keys, words = [[key] for key in encode(numbers)], list(map(str, numbers.tolist()))
    lookup = Lookup(tables)
    bodies = [b'{"keys":%b}' % str(draw.integers(0, ROWS, 100).tolist()).encode() for _ in range(300)]

    def read() -> None:
        """As callers do, no answer is kept: a list of thousands is what the garbage collector would be measured by."""
        for key in keys:
            tables.read(TABLE, key)

    def tell() -> None:
        for word in words:
            lookup.now(TABLE, word, _anybody)

    def ask() -> None:
        for body in bodies:
            lookup.many_now(TABLE, Asked.read(body), _anybody).json()

    first, *reads = (seconds(read, time.process_time) / len(keys) for _ in range(6))
    told = [seconds(tell, time.process_time) / len(keys) for _ in range(5)]
    many = [seconds(ask, time.process_time) / 30_000 for _ in range(6)][1:]
    switches = [seconds(partial(tables.switch, TABLE, number)) for number in (1, 2) * 5]
    tables.close()
    return [
        Figure(
            "a look-up in process, LMDB",
            tuple(one * 1e6 for one in reads),
            "µs",
            at_most=5,
            absolute=f"{ROWS:,} rows; {first * 1e6:.2f} µs the first time, page by page; {median(told) * 1e6:.2f} µs "
            "from a key as it is written to JSON",
        ),
        Figure(
            "keys a second, 100 a look-up, JSON to JSON", tuple(1 / one for one in many), "rows/s", at_least=300_000
        ),
        Figure("switching a generation", tuple(second * 1e3 for second in switches), "ms", at_most=50),
    ]


def over_http(bench: Bench, home: Path) -> list[Figure]:
    """The same table asked over HTTP, against the door before a runtime that computes nothing."""
    case = trees_case()
    fixed = ours.constant(case)
    draw = np.random.default_rng(2)
    env = {"SERVABLE_TABLES": str(home / FOLDER)}
    with ours.serve(case, env=env) as full, ours.serve_constant(fixed) as empty:
        one = [asked(full.port, "GET", f"/v2/tables/{TABLE}/rows/{key}") for key in draw.integers(0, ROWS, 4096)]
        many = [
            asked(full.port, "POST", f"/v2/tables/{TABLE}/lookup", b'{"keys":%b}' % str(keys).encode())
            for keys in draw.integers(0, ROWS, (64, 100)).tolist()
        ]
        rows, hundreds = (Traffic(full.port, f"/v2/tables/{TABLE}", tuple(each), answered) for each in (one, many))
        bare = empty.traffic(fixed)
        bench.warm(rows, hundreds, bare)
        asks = [(full, rows), (empty, bare), (full, hundreds)]
        turns = bench.turns(*(partial(bench.cost, traffic, server.door) for server, traffic in asks))
    mine, theirs, keys = zip(*turns, strict=True)
    return [
        Figure(
            "look-ups/s over HTTP against the door's bare rate",
            tuple(a.rate / b.rate for a, b in zip(mine, theirs, strict=True)),
            at_least=0.9,
            absolute=f"{thousands(rate_of(mine))} to {thousands(rate_of(theirs))}",
        ),
        Figure(
            "look-ups over HTTP against the door's bare rate, by processor time",
            tuple(b.cpu_us / a.cpu_us for a, b in zip(mine, theirs, strict=True)),
            absolute=f"{median([a.cpu_us for a in mine]):.1f} to {median([b.cpu_us for b in theirs]):.1f} µs a request",
        ),
        Figure(
            "keys a second of a core over HTTP, 100 a request",
            tuple(100 / each.cpu_us * 1e6 for each in keys),
            "rows/s",
            at_least=300_000,
            absolute=f"{100 * rate_of(keys):,.0f} by the clock",
        ),
    ]


def asked(port: int, method: str, path: str, body: bytes = b"") -> bytes:
    """A whole request, on a connection that stays open."""
    return f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def answered(index: int, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Every key of the table has a row."""
    del index, headers
    if status != OK or b'"label"' not in body or b"null" in body:
        raise Refused(f"answered {status}: {body[:200]!r}")


def seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


def _anybody(_: str) -> None:
    """Whoever asks may."""
