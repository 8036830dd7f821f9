"""Arenas: one copy, both sides; no room is an error, never a signal."""

from __future__ import annotations

import mmap
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from servable.engine.process.arena import Arena


def test_the_other_side_sees_what_is_written() -> None:
    ours = Arena.make(100_000)
    theirs = Arena.adopt(os.dup(ours.fd), writable=False)
    values = np.arange(1000.0)
    ours.write(64, values)
    assert np.frombuffer(theirs.view(64, values.nbytes)).tolist() == values.tolist()
    ours.slate = 42
    assert theirs.slate == 42
    with pytest.raises(TypeError):
        theirs.slate = 1
    theirs.close()
    ours.close()


@pytest.mark.skipif(sys.platform != "linux", reason="seals are Linux's")
def test_nobody_can_shrink_or_grow_it() -> None:
    arena = Arena.make(8192)
    for size in (0, 4096, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(arena.fd, size)
    arena.close()


def test_no_room_is_an_oserror_and_leaves_no_descriptor_behind() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    open_files = Path("/proc/self/fd")
    before = len(list(open_files.iterdir()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            Arena.make(2 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(list(open_files.iterdir())) == before


FULL = """
import sys
from servable.engine.process.arena import Arena
folder = sys.argv[1]
Arena.make(256 << 10, folder).close()
try:
    Arena.make(4 << 20, folder)
except OSError as error:
    print(error.strerror)
"""


def test_a_full_file_system_is_an_oserror_too(tmp_path: Path) -> None:
    """A tmpfs of 1 MiB, in a mount namespace of its own."""
    script = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec {sys.executable} -c \'{FULL}\' "{tmp_path}"'
    command = ["unshare", "-rm", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "No space left on device\n", done.stderr


def test_memory_that_somebody_looks_at_stays_until_they_are_gone() -> None:
    arena = Arena.make(mmap.PAGESIZE)
    arena.write(64, np.arange(3.0))
    seen = np.frombuffer(arena.view(64, 24))
    arena.close()
    assert seen.tolist() == [0.0, 1.0, 2.0]
