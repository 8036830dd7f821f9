"""Spark: each part is one small Spark job of a `mapInArrow`, and as many of them are under way as there are cores.

So answers are here as soon as a part is done, and no more of them than that wait in memory; one job over all parts
would hand them over at its end. Where the cluster is, and how large, is Spark's own configuration.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

import msgspec

from servable.errors import EnvironmentFault, MissingExtra
from servable.offline.cluster import parcel
from servable.offline.cluster.failure import reason
from servable.offline.cluster.hands import ClusterHands
from servable.offline.cluster.landing import Landing
from servable.offline.cluster.task import Task, as_batch, of_batch
from servable.offline.order import Part, Scored
from servable.offline.piece import arrow


class SparkHands(ClusterHands):
    """The hands of a job, on Spark."""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as held:
            self._session = held.enter_context(_session(self._address, f"servable batch {self._order.target.name}"))
            self._context = self._session.sparkContext
            self._parcel = f"servable-{uuid.uuid4().hex}"
            folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="servable-")))
            packed = parcel.pack(self._order, folder / f"{self._parcel}.tar")
            self._context.addArchive(f"{packed}#{self._parcel}")
            self._landing = held.enter_context(Landing(self._order))
            self._held = held.pop_all()
        return self

    def run(self, parts: Sequence[Part]) -> Iterator[Scored]:
        """Have all parts done; each report as it comes. Raises what a worker could not do, EnvironmentFault."""
        # Jobs of a thread have its tag: what else runs in somebody's session is not ours to cancel.
        pool = ThreadPoolExecutor(
            self._workers or self._context.defaultParallelism,
            "servable-spark",
            lambda: self._context.addJobTag(self._parcel),
        )
        try:
            for done in as_completed([pool.submit(self._do, part) for part in parts]):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self._context.cancelJobsWithTag(self._parcel)
            pool.shutdown()

    def _do(self, part: Part) -> Scored:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        rows = arrow().table({"part": [msgspec.json.encode(part)]})
        try:
            frame = self._session.createDataFrame(rows).mapInArrow(partial(_score, self._parcel), _schema())
            found = frame.toArrow()
        except (PySparkException, Py4JError) as error:
            raise EnvironmentFault(f"Spark gave part {part.number} of the input up: {reason(error)}") from error
        scored = None
        for chunk in of_batch(found):
            scored = self._landing.take(chunk)
        if scored is None:
            raise EnvironmentFault(f"Spark brought no report of part {part.number} of the input")
        return scored


@contextlib.contextmanager
def _session(address: str, name: str) -> Iterator[Any]:
    """The session that is there already, or one for this job."""
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingExtra("spark", "run a job on Spark", missing=error.name) from error
    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    if "JAVA_HOME" not in os.environ and not shutil.which("java"):
        raise EnvironmentFault(
            "Spark needs Java 17 or later: install it (on Debian  apt-get install default-jre-headless)"
        )
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")  # which is not used here
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(name).config("spark.ui.showConsoleProgress", "false")
    try:
        session = (builder.master(address) if address else builder).getOrCreate()
    except (PySparkException, Py4JError, RuntimeError, OSError) as error:
        raise EnvironmentFault(f"cannot start Spark{f' at {address}' if address else ''}: {reason(error)}") from error
    try:
        session.sparkContext.setLogLevel("ERROR")
        yield session
    finally:
        session.stop()


def _schema() -> str:
    return "part long, path string, at long, content binary"


def _score(name: str, batches: Iterator[Any]) -> Iterator[Any]:
    """What runs on Spark's machines: parts in, chunks out."""
    task = _task(name)
    for batch in batches:
        for part in batch.column("part").to_pylist():
            yield from map(as_batch, task.do(msgspec.json.decode(part, type=Part)))


@cache
def _task(name: str) -> Task:
    """One for each of Spark's Python processes, which take one part after another. Spark removes its folders."""
    from pyspark import SparkFiles

    folder = Path(tempfile.mkdtemp(prefix="part-", dir=SparkFiles.getRootDirectory()))
    return Task(Path(SparkFiles.get(name)), folder)
