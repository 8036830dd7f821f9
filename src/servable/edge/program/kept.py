"""Kept: editions as folders beside the program, and a file that says which of them is used. Whole or not there:
temporary name, fsync, rename. Two programs that take the same update write the same bytes: nobody waits.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

STATE: Final = "state.json"
INCOMING: Final = ".incoming"
_EDITION: Final = re.compile(r"\d+(\.incoming)?")


class Kept:
    """Of one folder, which comes into being with the first write. Every method raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def state(self) -> dict[str, Any]:
        """What was remembered; of a file that is none, nothing."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            told = json.loads((self.folder / STATE).read_bytes())
            if isinstance(told, dict):
                return told
        return {}

    def save(self, state: dict[str, Any]) -> None:
        put(self.folder, STATE, json.dumps(state).encode())

    def place(self, sequence: int) -> Path:
        """Where an edition lies, whole or as far as it has come."""
        whole = self.folder / str(sequence)
        return whole if whole.exists() else self.folder / f"{sequence}{INCOMING}"

    def read(self, sequence: int, name: str) -> bytes | None:
        try:
            return (self.place(sequence) / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, sequence: int, name: str, data: bytes) -> None:
        put(self.folder / f"{sequence}{INCOMING}", name, data)

    def seal(self, sequence: int) -> None:
        """The folder gets its name once all of it is there."""
        target = self.folder / str(sequence)
        if not target.exists():
            (self.folder / f"{sequence}{INCOMING}").rename(target)
        _sync(self.folder)

    def keep_only(self, sequences: Iterable[int]) -> None:
        kept = set(map(str, sequences))
        for each in self.folder.iterdir() if self.folder.exists() else ():
            if _EDITION.fullmatch(each.name) and each.name not in kept:
                shutil.rmtree(each, ignore_errors=True)


def put(folder: Path, name: str, data: bytes) -> None:
    """A file, on the disk when this returns, in the place of one that is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = folder / f".{name}-{os.getpid()}"
    with open(temporary, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / name)
    _sync(folder)


def _sync(folder: Path) -> None:
    if os.name == "nt":
        return  # a folder is no file there
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
