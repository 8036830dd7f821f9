"""Fills one LMDB file: unseen until it is finished, synced and named in the catalogue.

Blocks are not synced one by one: who dies loses the whole generation, which nobody has seen. Keys that come in order
are appended, which is the fastest way; others are sorted within their block.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Sequence
from operator import lt
from pathlib import Path
from typing import IO, Any, Final, Self

import msgspec

from servable.errors import Conflict, EnvironmentFault
from servable.stores.tables import environments
from servable.stores.tables.generation import Generation
from servable.stores.tables.port import Keep
from servable.stores.whole import sync

CATALOG: Final = "catalog"
LOCK: Final = ".lock"
MOST_SEEN: Final = 32 << 20
"""Bytes of the file that may stay in this process's memory for having been looked at while it was filled."""


class LmdbWriter:
    """A `Writer` into the folder of its generation."""

    def __init__(self, generation: Generation, folder: Path, catalog: Any, lock: IO[bytes]) -> None:
        self.generation = generation
        self._folder = folder
        self._catalog = catalog
        self._lock = lock
        self._lmdb = environments.library()
        folder.mkdir(mode=0o700)
        self._before = _mapped_bytes()
        self._environment = self._opened()
        self._last = b""
        self._rows = 0

    def _opened(self) -> Any:
        return self._lmdb.open(
            str(self._folder), map_size=environments.ROOM_BYTES, sync=False, mode=0o600, lock=False, readahead=False
        )

    def write(self, keys: Sequence[bytes], answers: Sequence[bytes], keep: Keep = "last") -> int:
        if not keys:
            return 0
        rising = all(map(lt, keys, keys[1:]))
        append = rising and keys[0] > self._last
        pairs: Iterable[tuple[bytes, bytes]] = zip(keys, answers, strict=True)
        if not rising:
            pairs = sorted(pairs, key=_key)  # stable: of equal keys the last one stays the last
        try:
            with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
                cursor.putmulti(pairs, overwrite=keep == "last", append=append)
            rows = int(self._environment.stat()["entries"])
            if _mapped_bytes() > self._before + MOST_SEEN:
                self._environment.close()
                self._environment = self._opened()
        except (self._lmdb.Error, OSError) as error:
            raise environments.fault(self._folder, error) from error
        self._last = max(self._last, keys[-1] if rising else max(keys))
        new, self._rows = rows - self._rows, rows
        return new

    def finish(self) -> Generation:
        generation = msgspec.structs.replace(self.generation, rows=self._rows)
        try:
            self._environment.sync(True)
            self._environment.close()
            self._environment = None
            sync(self._folder)
            sync(self._folder.parent)
            key = b"generation/%b/%010d" % (generation.table.encode(), generation.number)
            with self._catalog.begin(write=True) as transaction:
                transaction.put(key, msgspec.json.encode(generation))
        except (self._lmdb.Error, OSError) as error:
            raise environments.fault(self._folder, error) from error
        self.generation = generation
        self._end()
        return generation

    def _end(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock.closed:
            return
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)


def locked(folder: Path) -> IO[bytes]:
    """Hold a table for writing; the kernel takes the lock back from the dead. Raises Conflict."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "rb+")
    except OSError as error:
        raise EnvironmentFault(f"cannot write in {folder}: {error.strerror or error}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise Conflict(f"table {folder.name!r} is being written by another process: wait until it has ended") from error
    return file


def next_number(catalog: Any, table: str) -> int:
    """A number that no generation of this table ever had."""
    key = b"next/%b" % table.encode()
    with catalog.begin(write=True) as transaction:
        number = int(transaction.get(key, b"1"))
        transaction.put(key, b"%d" % (number + 1))
    return number


def _key(pair: tuple[bytes, bytes]) -> bytes:
    return pair[0]


def _mapped_bytes() -> int:
    """Of files, what is in this process's memory; 0 where the system does not tell."""
    try:
        told = Path("/proc/self/statm").read_text(encoding="ascii")
    except OSError:
        return 0
    return int(told.split()[2]) * os.sysconf("SC_PAGE_SIZE")
