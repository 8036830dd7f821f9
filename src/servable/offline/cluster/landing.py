"""Landing: a part's files as they come back from the cluster, put where a worker of this machine would have put them.

They appear whole, the report last: a job that dies in the middle finds on `--resume` what it would find without a
cluster, and may go on without one.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Self

import msgspec

from servable.errors import EnvironmentFault
from servable.offline.cluster.parcel import OUTPUT
from servable.offline.cluster.task import Chunk
from servable.offline.order import Failed, Order, Scored
from servable.offline.scorer import REPORTS
from servable.offline.whole import Whole, disk, write_whole


class _Arriving(Whole):
    """A file in chunks. One that comes again, as its part was done again, has the same bytes."""

    _file: IO[bytes] | None = None

    def put(self, at: int, content: bytes) -> None:
        with disk(self.path):
            if self._file is None:
                self._file = self.begin().open("r+b")
            self._file.seek(at)
            self._file.write(content)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class Landing:
    """`with Landing(order) as landing: scored = landing.take(chunk)`, for chunks of all parts in any order."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._parts: dict[int, dict[str, _Arriving]] = {}

    def take(self, chunk: Chunk) -> Scored | None:
        """What became of the part, once its report is there. Raises what the worker could not do."""
        files = self._parts.setdefault(chunk.part, {})
        if chunk.path:
            if chunk.path not in files:
                files[chunk.path] = self._file(chunk.path)
            files[chunk.path].put(chunk.at, chunk.content)
            return None
        report = msgspec.json.decode(chunk.content, type=Scored | Failed)
        if isinstance(report, Failed):
            raise report.problem.error()
        sizes = {path: file.finish() for path, file in files.items()}
        if sizes != report.files:
            raise EnvironmentFault(f"part {chunk.part} came back with {sizes} bytes, its worker wrote {report.files}")
        del self._parts[chunk.part]
        ours = msgspec.structs.replace(report, files={str(file.path): sizes[path] for path, file in files.items()})
        write_whole(Path(self._order.folder) / REPORTS / f"{report.number:06d}.json", msgspec.json.encode(ours))
        return ours

    def _file(self, path: str) -> _Arriving:
        head, _, name = path.partition("/")
        if head != OUTPUT:
            return _Arriving(Path(self._order.folder) / path)
        file = _Arriving(Path(self._order.output) / name)
        file.mode = 0o666  # as a worker makes it: for whoever may read its folder
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for files in self._parts.values():
            for file in files.values():
                file.__exit__()
