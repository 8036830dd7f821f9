"""Environments: LMDB files open in this process, each once, however many use it: LMDB allows no second opening."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

from servable.errors import EnvironmentFault, MissingExtra

CATALOG_BYTES: Final = 1 << 28
ROOM_BYTES: Final = 1 << 40
"""Address space for a generation while it is written; the file is as long as what it holds."""

_lock: Final = threading.Lock()
_open: Final[dict[Path, tuple[Any, int]]] = {}
"""Path to environment and how many use it."""


def acquire(path: Path, *, writable: bool) -> Any:
    """The environment in this folder. A finished generation never changes: it is read without locks."""
    lmdb = library()
    with _lock:
        found, users = _open.get(path, (None, 0))
        if found is None:
            options: dict[str, Any] = (
                {"map_size": CATALOG_BYTES, "mode": 0o600} if writable else {"readonly": True, "lock": False}
            )
            found = lmdb.open(str(path), readahead=False, max_spare_txns=4, **options)
        _open[path] = (found, users + 1)
        return found


def release(path: Path) -> None:
    """One user less; the last one closes it."""
    with _lock:
        found, users = _open.pop(path, (None, 0))
        if users > 1:
            _open[path] = (found, users - 1)
        elif found is not None:
            found.close()


def library() -> Any:
    """The lmdb module. Raises MissingExtra."""
    try:
        import lmdb
    except ImportError as error:
        raise MissingExtra("offline", "keep tables in LMDB", missing="lmdb") from error
    return lmdb


def fault(path: Path, error: Exception) -> EnvironmentFault:
    """What LMDB or the file system said, as an error that names the place."""
    said = getattr(error, "strerror", None) or str(error)
    return EnvironmentFault(f"cannot use the tables in {path}: {said}; make room there, or choose another place")
