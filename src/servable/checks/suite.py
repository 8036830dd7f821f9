"""Suite: the growing collection of cases of one name, `<home>/suites/<name>.jsonl`: every version is asked all of them.

Append-only, one line an act: a case that came, by whom and when, or one that went. A line that a crash cut off is
not there; what stands before it is.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from servable.checks.case import Case
from servable.errors import BundleError, EnvironmentFault, NotFound

FOLDER: Final = "suites"


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One act: `case` came, or the one of this `id` went."""

    id: str
    time: float
    who: str
    case: Case | None = None


class Suite:
    """The cases of one name. `who` is written beside what is done here."""

    def __init__(self, home: Path, name: str, who: str = "", now: Callable[[], float] = time.time) -> None:
        self.path = home / FOLDER / f"{name}.jsonl"
        self._who = who
        self._now = now

    def cases(self) -> list[Case]:
        """Those that are there, oldest first. Raises BundleError for a file that others have broken."""
        held: dict[str, Case] = {}
        for entry in self._read():
            if entry.case is None:
                held.pop(entry.id, None)
            else:
                held[entry.id] = entry.case
        return list(held.values())

    def add(self, cases: Iterable[Case]) -> list[Case]:
        """Take cases in; those that were new. A case that comes again with another mark or note has the new one."""
        held = {case.id: case for case in self.cases()}
        fresh = [case for case in {case.id: case for case in cases}.values() if held.get(case.id) != case]
        self._append([Entry(case.id, self._now(), self._who, case) for case in fresh])
        return fresh

    def remove(self, identity: str) -> Case:
        """Let a case go; history keeps it. Raises NotFound."""
        found = next((case for case in self.cases() if case.id == identity), None)
        if found is None:
            raise NotFound(f"there is no case {identity!r} in the suite of {self.path.stem!r}")
        self._append([Entry(identity, self._now(), self._who)])
        return found

    def _read(self) -> list[Entry]:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise EnvironmentFault(f"cannot read {self.path}: {error.strerror}") from error
        entries = []
        for number, line in enumerate(lines, 1):
            try:
                if line:
                    entries.append(msgspec.json.decode(line, type=Entry))
            except msgspec.MsgspecError as error:
                if number == len(lines):
                    break  # cut off by a crash: it was never acknowledged
                raise BundleError(f"{self.path}, line {number} is no case: {error}") from error
        return entries

    def _append(self, entries: list[Entry]) -> None:
        if not entries:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                _mend(handle)
                os.write(handle, b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise EnvironmentFault(f"cannot write {self.path}: {error.strerror}") from error


def _mend(handle: int) -> None:
    """Cut off what a crash left after the last whole line."""
    size = os.fstat(handle).st_size
    if not size or os.pread(handle, 1, size - 1) == b"\n":
        return
    data = os.pread(handle, size, 0)
    os.ftruncate(handle, data.rfind(b"\n") + 1)
