"""Whole: a small file that is there with all its bytes, on disk, or not there, whenever a process or the machine dies.

What is larger, or grows over time, is written by its own house; it takes `sync` from here.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Put bytes under a name, in place of what was there: a temporary name, fsync, rename, fsync of the folder.

    The folder is there already; nobody else may read the file. Raises OSError, and leaves nothing then.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o600)  # one of that name may have been left by another
            file.write(content)
            file.flush()
            os.fsync(handle)
        hidden.replace(path)
        sync(path.parent)
    except OSError:
        hidden.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk: a rename is not there before that."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
