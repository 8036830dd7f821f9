"""Real databases to keep tables in, each for the length of a `with`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def lmdb(folder: Path) -> Iterator[str]:
    yield str(folder / "tables")


STORES: dict[str, Callable[[Path], Any]] = {"lmdb": lmdb}
"""By name: what gives a URL for an empty place."""
