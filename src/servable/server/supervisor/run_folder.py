"""RunFolder: where a running server keeps sockets and scratch folders of its model processes. Gone when it ends.

A server that is killed cannot clean up; the next one does: a folder whose lock nobody holds is nobody's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

PREFIX: Final = "servable-run-"
LOCK: Final = "lock"


class RunFolder:
    """A folder for nobody but us, below the system's for temporary files: the paths of sockets must be short."""

    def __init__(self, parent: Path | None = None) -> None:
        """Raises OSError."""
        # macOS's own folder for temporary files is already too long for a socket.
        usual = "/tmp" if sys.platform == "darwin" else tempfile.gettempdir()  # noqa: S108 - mkdtemp makes it ours
        parent = parent or Path(usual)
        _clear(parent)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Delete it, and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _clear(parent: Path) -> None:
    """Delete the folders of servers that were killed. What is younger than its lock is left alone."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # not ours, or just being removed by another
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
