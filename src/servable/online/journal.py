"""Journal: events in the order in which they were accepted, in files that only grow. The truth of a learner.

An event is accepted when `append` has returned: it is on the disk. Each stands behind a header with its length, its
offset and a checksum of all three. A file is named after the first offset in it, and ends at 64 MiB. What a crash left
half-written at the very end was never acknowledged and is cut off; damage anywhere else is an error, never a gap.

One writer a folder (a lock that the kernel takes back from the dead); readers need none.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from servable.errors import Conflict, CorruptModel, EnvironmentFault, Unavailable
from servable.online.event import Event, decode, encode

HEADER: Final = struct.Struct("<IIQ")
"""Checksum (CRC-32 of what follows), bytes of the event, its offset: the examples before it in the journal."""
SUFFIX: Final = ".events"
FILE_BYTES: Final = 64 * 1024 * 1024
LARGEST: Final = 1 << 30


class Entry(NamedTuple):
    """An event and its place: `offset` examples stand before it, and it holds those from there to `after`."""

    offset: int
    event: Event

    @property
    def after(self) -> int:
        return self.offset + self.event.rows


class Journal:
    """The journal in a folder, open for writing. `offset` is that of the next example: how many there are."""

    def __init__(self, folder: Path, file_bytes: int = FILE_BYTES) -> None:
        """Opens, and cuts off what was never acknowledged. Raises Conflict if somebody else writes, CorruptModel."""
        self.folder = folder
        self._file_bytes = file_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise Conflict(f"another process learns into {folder}: a learner has one writer; stop the other") from error
        try:
            self._path, self.offset, self._size = _end(folder)
            self._file = _open(self._path)
        except BaseException:
            os.close(self._lock)
            raise
        os.ftruncate(self._file, self._size)
        _sync_folder(folder)

    def append(self, events: Sequence[Event]) -> int:
        """Put events at the end, all in one write and one sync; the offset of the first.

        Raises Unavailable if the disk refuses: then none of them is in the journal, and the next call tries again.
        """
        first = offset = self.offset
        parts = []
        for event in events:
            body = encode(event)
            rest = struct.pack("<IQ", len(body), offset)
            parts += [struct.pack("<I", zlib.crc32(body, zlib.crc32(rest))), rest, body]
            offset += event.rows
        data = b"".join(parts)
        try:
            if self._size >= self._file_bytes:
                self._roll()
            _write(self._file, data, self._size)
            os.fdatasync(self._file)
        except OSError as error:
            self._undo()
            raise Unavailable(
                f"the journal in {self.folder} cannot be written: {error.strerror}; learning pauses, predictions go on",
                retry_after_s=5.0,
            ) from error
        self.offset = offset
        self._size += len(data)
        return first

    def _undo(self) -> None:
        """Leave nothing that was not acknowledged. After a failed sync the kernel may hold pages that are not on disk:
        a new descriptor and a shorter file are what the next call starts from.
        """
        try:
            fresh = _open(self._path)
            os.close(self._file)
            self._file = fresh
            os.ftruncate(fresh, self._size)
        except OSError as error:
            raise EnvironmentFault(f"the journal {self._path} cannot be opened: {error.strerror}") from error

    def _roll(self) -> None:
        path = self.folder / _name(self.offset)
        file = _open(path)
        try:
            _sync_folder(self.folder)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._path, self._size = file, path, 0

    def read(self, start: int, since: float) -> Iterator[Entry]:
        """As `read` does, of this one."""
        return read(self.folder, start, since)

    def close(self) -> None:
        """Let another write."""
        os.close(self._file)
        os.close(self._lock)


def read(folder: Path, start: int = 0, since: float | None = None) -> Iterator[Entry]:
    """The events that hold examples from offset `start` on, and all without any that stand among them; and all of files
    that were written to after `since`, in seconds since the epoch. Other files are not opened.

    Raises CorruptModel where the journal is damaged.
    """
    files = files_of(folder)
    for place, path in enumerate(files):
        last = place == len(files) - 1
        young = since is not None and path.stat().st_mtime >= since
        if last or young or int(files[place + 1].stem) >= start:
            for entry, _ in _entries(path, last=last):
                if young or entry.after > start or (entry.offset >= start and not entry.event.rows):
                    yield entry


def files_of(folder: Path) -> list[Path]:
    """The files of a journal, in order."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _end(folder: Path) -> tuple[Path, int, int]:
    """The file that is written to, the offset that it has come to, and its bytes that are good."""
    files = files_of(folder)
    path = files[-1] if files else folder / _name(0)
    offset, size = int(path.stem), 0
    if files:
        for entry, end in _entries(path, last=True):
            offset, size = entry.after, end
    return path, offset, size


def _entries(path: Path, *, last: bool) -> Iterator[tuple[Entry, int]]:
    """The entries of one file, each with the byte after it. In the last file, a torn end ends them."""
    expected = int(path.stem)
    size = path.stat().st_size
    with path.open("rb") as file:
        end = 0
        while end < size:
            entry = _next(file.read(HEADER.size), file, expected)
            if entry is None:
                if last and _torn(path, end):
                    return
                raise CorruptModel(f"the journal {path} is damaged at byte {end}: restore it from a copy")
            expected, end = entry.after, file.tell()
            yield entry, end


def _next(header: bytes, file: BinaryIO, expected: int) -> Entry | None:
    if len(header) < HEADER.size:
        return None
    checksum, length, offset = HEADER.unpack(header)
    if length > LARGEST or offset != expected:
        return None
    body = file.read(length)
    if len(body) < length or zlib.crc32(body, zlib.crc32(header[4:])) != checksum:
        return None
    try:
        return Entry(offset, decode(body))
    except msgspec.DecodeError:
        return None


def _torn(path: Path, at: int) -> bool:
    """Whether nothing that was acknowledged can stand from this byte on: no whole entry follows the broken one."""
    data = path.read_bytes()[at:]
    for place in range(1, len(data) - HEADER.size + 1):
        checksum, length, _ = HEADER.unpack_from(data, place)
        end = place + HEADER.size + length
        if length > 0 and end <= len(data) and zlib.crc32(data[place + 4 : end]) == checksum:
            return False
    return True


def _name(offset: int) -> str:
    return f"{offset:020d}{SUFFIX}"


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _write(file: int, data: bytes, at: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(file, left, at)
        left, at = left[written:], at + written


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
