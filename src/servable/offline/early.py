"""Early: worker processes that are started before it is known what they shall do, while the command still reads what it
was asked for. They import what each worker needs, and wait for their order. A `Hand` takes one, or starts its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

LIMITS: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_IO_THREADS": "1"}
"""A worker has one core: its libraries must not take them all."""
KEPT: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}
"""Each block of rows takes as much memory as the one before: given back and taken anew, it would be cleared each time.
The system's allocator keeps it, if it is told to; Arrow's own, told the same, keeps a tenth more.
"""
LARGE_BYTES: Final = 16 << 20
"""A file of fewer is most likely one part, for one worker."""


class Early:
    """`with Early(count) as early: process = early.take()`. Those that nobody took are ended."""

    def __init__(self, count: int) -> None:
        self._waiting = [spawn() for _ in range(count)]

    def take(self) -> subprocess.Popen[bytes]:
        """One that was started, or a new one. For any thread."""
        try:
            return self._waiting.pop()
        except IndexError:
            return spawn()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._waiting:
            process = self._waiting.pop()
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            process.wait()


def spawn() -> subprocess.Popen[bytes]:
    """A worker process."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "servable.offline.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, **LIMITS, **KEPT},
        start_new_session=True,
    )


def likely_workers(source: str, wanted: int | None) -> int:
    """How many will have something to do: one a core, or as many as are wanted; one, for a small file."""
    path = Path(source)
    if path.is_file() and path.stat().st_size < LARGE_BYTES:
        return 1
    cores = len(os.sched_getaffinity(0))
    return min(wanted or cores, cores)
