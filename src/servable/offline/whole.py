"""Whole: files of a job that are there with all their bytes, on disk, or not there, whenever a process dies. They may
be large, and it is told what to do where they cannot be written.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from servable.errors import EnvironmentFault
from servable.stores import whole


class Whole:
    """A file that appears under its name when it is finished; without `finish` it leaves nothing."""

    mode = 0o600

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made = False
        self._hidden = path.with_name(f".{path.name}.{os.getpid()}")

    def begin(self) -> Path:
        """Where to write; the folders above it are made."""
        self._hidden.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.made = True
        os.close(os.open(self._hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, self.mode))
        return self._hidden

    def close(self) -> None:
        """Close what was opened to write there."""

    def finish(self) -> int:
        """Put it on disk, under its name; its size in bytes."""
        with disk(self.path):
            self.close()
            size = self._hidden.stat().st_size
            whole.sync(self._hidden)
            self._hidden.rename(self.path)
            whole.sync(self.path.parent)
        return size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.made:
            with contextlib.suppress(OSError, ValueError):
                self.close()
            self._hidden.unlink(missing_ok=True)


class Lines(Whole):
    """Lines of JSON."""

    _file: IO[bytes] | None = None

    def write(self, line: Any) -> None:
        with disk(self.path):
            if self._file is None:
                self._file = self.begin().open("wb")
            self._file.write(msgspec.json.encode(line, enc_hook=str) + b"\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def write_whole(path: Path, content: bytes) -> None:
    """A small file; the folders above it are made."""
    with disk(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        whole.write_whole(path, content)


@contextlib.contextmanager
def disk(path: Path) -> Iterator[None]:
    """What the file system refuses, as an error that names the file."""
    try:
        yield
    except OSError as error:
        said = error.strerror or error
        raise EnvironmentFault(f"cannot write {path}: {said}; make room, then go on with --resume") from error
