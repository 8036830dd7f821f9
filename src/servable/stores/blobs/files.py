"""Blobs in a folder, such as one that several machines mount. Private to its owner; on disk when a call returns."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from servable.errors import EnvironmentFault, NotFound
from servable.stores.whole import sync

INCOMING: Final = ".incoming-"


class Files:
    """The files below one folder, which is made by the first `put`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def place(self) -> str:
        return f"file://{self._root}"

    def put(self, path: str, file: Path) -> None:
        target = self._at(path)
        with self._wall("write", path):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            copy = target.parent / f"{INCOMING}{secrets.token_hex(8)}"
            try:
                with file.open("rb") as source, copy.open("xb") as out:
                    copy.chmod(0o600)
                    shutil.copyfileobj(source, out)
                    out.flush()
                    os.fsync(out.fileno())
                copy.rename(target)
            finally:
                copy.unlink(missing_ok=True)
            for folder in (target.parent, *target.parent.parents):
                sync(folder)
                if folder == self._root:
                    break

    def get(self, path: str, target: Path) -> None:
        source = self._at(path)
        if not source.is_file():
            raise NotFound(f"there is no {path!r} in {self.place}")
        with self._wall("read", path):
            shutil.copyfile(source, target)

    def has(self, path: str) -> bool:
        return self._at(path).is_file()

    def paths(self, prefix: str) -> list[str]:
        folder = self._at(prefix)
        found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(INCOMING))
        return sorted(path.relative_to(self._root).as_posix() for path in found)

    def remove(self, path: str) -> None:
        target = self._at(path)
        with self._wall("remove", path):
            target.unlink(missing_ok=True)
            for folder in target.parents:  # folders are no blobs: an empty one is nobody's
                if folder == self._root or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()

    def _at(self, path: str) -> Path:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise EnvironmentFault(f"{path!r} is no path inside {self.place}")
        return self._root / pure

    @contextmanager
    def _wall(self, act: str, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EnvironmentFault(f"cannot {act} {path!r} in {self.place}: {error.strerror or error}") from error
