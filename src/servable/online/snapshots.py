"""Snapshots: states of a fold on disk, each whole or not there; the newest good one is where a restart begins.

A file is named after its offset. It holds a digest of itself, the versions of the libraries that made it, and the
state. Which are kept is a pure function (`kept`): the newest, one an hour of the last day, one a day of the last month,
and all that are pinned.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from servable.errors import CorruptModel, IncompatibleModel, NotFound, Unavailable
from servable.online.fold import State

LAYOUT: Final = 3
"""Of what a state holds, the guards' part too: counted up when that changes. A snapshot of another layout is passed
over, and the journal makes up for it.
"""
SUFFIX: Final = ".state"
NEWEST, HOURS, DAYS = 10, 24, 30
HOUR_S, DAY_S = 3600.0, 86400.0

logger = logging.getLogger("servable.online")


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A state, when it was taken (seconds since the epoch), and by which versions of which libraries."""

    time: float
    libraries: dict[str, str]
    state: State
    layout: int = 1
    """The first one did not tell it."""

    @property
    def foreign(self) -> str:
        """Why it cannot be read, as another version of Servable made it; empty if it can."""
        told = f"is of layout {self.layout}, expected {LAYOUT}: another version of Servable made it"
        return "" if self.layout == LAYOUT else f"the snapshot at offset {self.state.offset} {told}"


class Snapshots:
    """The snapshots in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, snapshot: Snapshot, pinned: Collection[int] = ()) -> Path:
        """Keep one, and let go of those that need not be kept beside it. Raises Unavailable if the disk refuses."""
        data = msgspec.msgpack.encode(snapshot)
        path = self._path(snapshot.state.offset)
        fresh = path.with_suffix(".new")
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 - its mode is given where it is made
                file.write(hashlib.sha256(data).digest() + data)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise Unavailable(f"a snapshot cannot be written to {self.folder}: {error.strerror}") from error
        times = {offset: self._path(offset).stat().st_mtime for offset in self.offsets()}
        for offset in times.keys() - kept(times, pinned):
            self._path(offset).unlink(missing_ok=True)
        return path

    def offsets(self) -> list[int]:
        """Of all there are, ascending."""
        return sorted(int(path.stem) for path in self.folder.glob(f"*{SUFFIX}"))

    def get(self, offset: int) -> Snapshot:
        """The one at this offset. Raises NotFound; CorruptModel also for one of another layout."""
        path = self._path(offset)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            near = ", ".join(map(str, self.offsets()[-5:])) or "none"
            raise NotFound(f"there is no snapshot at offset {offset}: the last ones are {near}") from error
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            raise CorruptModel(f"the snapshot {path.name} is damaged: its digest does not match")
        try:
            found = msgspec.msgpack.decode(memoryview(data)[32:], type=Snapshot)
        except msgspec.DecodeError as error:
            raise CorruptModel(f"the snapshot {path.name} is none of this version: {error}") from error
        if found.foreign:
            raise CorruptModel(found.foreign)
        return found

    def newest(self, libraries: Mapping[str, str], before: int | None = None, *, exact: bool = True) -> Snapshot | None:
        """The newest good one (of those at most at `before`), or None. One that is damaged, or of another layout, is
        passed over and told of: the journal makes up for it. Raises IncompatibleModel for one that other versions of
        the libraries made; unless it need not be `exact`: then that is passed over as well.
        """
        for offset in reversed(self.offsets()):
            if before is not None and offset > before:
                continue
            try:
                found = self.get(offset)
            except CorruptModel as error:
                logger.warning("%s; one before it, or the whole journal, is taken", error.message)
                continue
            if found.libraries != dict(libraries):
                if not exact:
                    continue
                raise IncompatibleModel(
                    f"the snapshot at offset {offset} was made with {found.libraries}, here are {dict(libraries)}: "
                    "install those versions, or rebuild the state from the journal: servable learning rebuild"
                )
            return found
        return None

    def _path(self, offset: int) -> Path:
        return self.folder / f"{offset:020d}{SUFFIX}"


def kept(times: Mapping[int, float], pinned: Collection[int] = ()) -> set[int]:
    """The offsets of the snapshots to keep, by the times at which they were taken.

    >>> sorted(kept({n: 60.0 * n for n in range(100)}))
    [0, 60, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99]
    """
    order: Sequence[int] = sorted(times)
    if not order:
        return set()
    now = times[order[-1]]
    held = {*order[-NEWEST:], *times.keys() & set(pinned)}
    for span_s, most in ((HOUR_S, HOURS), (DAY_S, DAYS)):
        first: dict[int, int] = {}
        for offset in order:
            if now - times[offset] <= span_s * most:
                first.setdefault(int(times[offset] // span_s), offset)
        held |= set(first.values())
    return held
