"""Arena: memory that a door and a model process both map, for large tensors: each is copied once, not through a socket.

The door makes it, whole and sealed, so that the process can neither shrink it under the door's feet (SIGBUS) nor make
it grow. Its pages are claimed before it is used: a machine without room gives an OSError, and tensors take the socket.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import sys
import tempfile
from typing import Final

import numpy as np

from servable.domain.batch import Array

GRAIN: Final = 4096
"""Sizes are multiples of it."""
_SLATE: Final = struct.Struct("<Q")

if sys.platform == "linux":
    import fcntl

    _SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Arena:
    """One mapping. `write` and `view` are for its one user of the moment: the side whose turn it is."""

    def __init__(self, fd: int, size: int, *, writable: bool) -> None:
        """Map an open file, which is closed with the Arena. Raises OSError."""
        self.fd = fd
        self.size = size
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self._map = mmap.mmap(fd, size, mmap.MAP_SHARED, access)

    @staticmethod
    def make(size: int, folder: str | None = None) -> Arena:
        """A new one of at least `size` bytes. Raises OSError when there is no room, or no descriptor.

        `folder`: where it lies as a file without a name, instead of in memory that no folder holds.
        """
        size = -(-size // GRAIN) * GRAIN
        fd = _open(folder)
        try:
            _claim(fd, size)
            if sys.platform == "linux" and folder is None:
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            return Arena(fd, size, writable=True)
        except BaseException:
            os.close(fd)
            raise

    @staticmethod
    def adopt(fd: int, *, writable: bool) -> Arena:
        """The other side's view of one."""
        return Arena(fd, os.fstat(fd).st_size, writable=writable)

    def write(self, start: int, array: Array) -> None:
        """Copy a contiguous array to `start`."""
        target: Array = np.frombuffer(self._map, array.dtype, array.size, start)
        np.copyto(target, array.reshape(-1))

    def view(self, start: int, size: int) -> memoryview:
        """Bytes `start` to `start + size`, without a copy."""
        return memoryview(self._map)[start : start + size]

    @property
    def slate(self) -> int:
        """The number that stands at its start."""
        number: int = _SLATE.unpack_from(self._map)[0]
        return number

    @slate.setter
    def slate(self, number: int) -> None:
        _SLATE.pack_into(self._map, 0, number)

    def close(self) -> None:
        """Give it back. Where somebody still looks at it, the memory stays until they are gone."""
        with contextlib.suppress(BufferError):
            self._map.close()
        os.close(self.fd)


def _open(folder: str | None) -> int:
    if folder is None and sys.platform == "linux":
        return os.memfd_create("servable-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.dup(file.fileno())


def _claim(fd: int, size: int) -> None:
    """Take all pages now: a page that cannot be had when it is first touched would be a SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    grain = bytes(GRAIN)
    for _ in range(0, size, GRAIN):
        os.write(fd, grain)
