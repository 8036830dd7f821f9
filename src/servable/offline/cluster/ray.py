"""Ray: the parts are the rows of a Ray data set, and each actor of its `map_batches` holds one worker.

Ray Data hands over what is done while the rest is under way, and holds actors back while that waits.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from servable.errors import EnvironmentFault, MissingExtra
from servable.offline.cluster import parcel
from servable.offline.cluster.failure import reason
from servable.offline.cluster.hands import ClusterHands
from servable.offline.cluster.landing import Landing
from servable.offline.cluster.task import Task, as_batch, of_batch
from servable.offline.order import Part, Scored
from servable.offline.piece import arrow
from servable.offline.whole import disk

CHUNK_BYTES: Final = 16 << 20
"""Of a parcel, in Ray's object store."""


class RayHands(ClusterHands):
    """The hands of a job, on Ray."""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as held:
            self._ray = held.enter_context(_connected(self._address))
            with tempfile.TemporaryDirectory(prefix="servable-") as folder:
                packed = parcel.pack(self._order, Path(folder) / "parcel.tar")
                with packed.open("rb") as file:
                    self._parcel = [self._ray.put(chunk) for chunk in iter(lambda: file.read(CHUNK_BYTES), b"")]
            self._landing = held.enter_context(Landing(self._order))
            self._held = held.pop_all()
        return self

    def run(self, parts: Sequence[Part]) -> Iterator[Scored]:
        """Have all parts done; each report as it comes. Raises what a worker could not do, EnvironmentFault."""
        if not parts:
            return
        from ray import data

        most = min(self._workers or int(self._ray.cluster_resources().get("CPU", 1)), len(parts))
        rows = [{"part": msgspec.json.encode(part)} for part in parts]
        chunks = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(self._parcel,),
            batch_size=1,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(min_size=1, max_size=most),
            num_cpus=1,
        )
        try:
            for batch in chunks.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for chunk in of_batch(batch):
                    scored = self._landing.take(chunk)
                    if scored is not None:
                        yield scored
        except self._ray.exceptions.RayError as error:
            raise EnvironmentFault(f"Ray gave the job up: {reason(error)}") from error


class _Actor:
    """What runs on Ray's machines: parts in, chunks out."""

    def __init__(self, chunks: list[Any]) -> None:
        import ray

        place = tempfile.TemporaryDirectory(prefix="servable-")
        atexit.register(place.cleanup)
        folder = Path(place.name)
        packed = folder / "parcel.tar"
        with disk(packed), packed.open("wb") as file:
            for chunk in chunks:
                file.write(ray.get(chunk))
        parcel.unpack(packed, folder / "parcel")
        packed.unlink()
        self._task = Task(folder / "parcel", folder / "part")
        atexit.register(self._task.close)

    def __call__(self, batch: Any) -> Iterator[Any]:
        for part in batch.column("part").to_pylist():
            for chunk in self._task.do(msgspec.json.decode(part, type=Part)):
                yield arrow().Table.from_batches([as_batch(chunk)])


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected by whoever calls, or for this job."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to others, of a Ray that starts here
    try:
        import ray
        from ray import data
    except ImportError as error:
        raise MissingExtra("ray", "run a job on Ray", missing=error.name) from error
    data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address or None, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=None)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        hint = "; a cluster that wants a token: RAY_AUTH_MODE=token" if "Auth" in str(error) else ""
        raise EnvironmentFault(
            f"cannot reach Ray{f' at {address}' if address else ''}: {reason(error)}{hint}"
        ) from error
    with contextlib.redirect_stdout(sys.stderr):  # Ray tells there of workers that died: no output of the job
        try:
            yield ray
        finally:
            ray.shutdown()
