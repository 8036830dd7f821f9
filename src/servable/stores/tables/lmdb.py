"""Tables in LMDB: the embedded default. Every door reads the same mapped pages; nothing is copied between processes.

A generation is an LMDB file of its own, never written to again once it is finished. A small catalogue beside them says
which there are and which is live: a switch is one transaction of it. Files: `catalog/`, `<table>/<number>/`.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.errors import Conflict
from servable.stores.tables import environments
from servable.stores.tables.generation import Generation, demand_name, lacking, unknown
from servable.stores.tables.lmdb_writer import CATALOG, LmdbWriter, locked, next_number
from servable.stores.tables.port import Found

SCAN_ROWS: Final = 16_384
REMEMBERED: Final = "remembered"
"""In a generation's folder: answers that were computed after it was finished."""

_decode = msgspec.json.Decoder(Generation).decode


class _View:
    """A generation that is open for reading. It never changes, so one transaction reads all there ever is to read."""

    def __init__(self, generation: Generation, folder: Path) -> None:
        self.generation = generation
        self.folder = folder
        self.environment = environments.acquire(folder, writable=False)
        self._get = self.environment.begin().get
        self._turn = threading.Lock()
        """A transaction takes one caller at a time."""
        self._later: Any = None

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._turn:
            answers: list[bytes | None] = list(map(self._get, keys))
        if None in answers and self.generation.on_miss == "predict":
            self._look_later(keys, answers)
        return answers

    def _look_later(self, keys: Sequence[bytes], answers: list[bytes | None]) -> None:
        if self._later is None:
            if not (self.folder / REMEMBERED).exists():
                return
            self._later = environments.acquire(self.folder / REMEMBERED, writable=True)
        with self._later.begin() as transaction:
            for at, answer in enumerate(answers):
                if answer is None:
                    answers[at] = transaction.get(keys[at])

    def close(self) -> None:
        environments.release(self.folder)
        if self._later is not None:
            environments.release(self.folder / REMEMBERED)


class LmdbTables:
    """The tables below one folder."""

    blocking = False

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._lmdb = environments.library()
        self._catalog: Any = None
        self._views: dict[str, tuple[bytes, bytes, _View]] = {}
        """Of each table: what the catalogue calls its live generation, what it said, and that generation."""
        self._older: list[_View] = []

    # ---- reading

    def names(self) -> list[str]:
        catalog = self._open_catalog(make=False)
        if catalog is None:
            return []
        with catalog.begin() as transaction, transaction.cursor() as cursor:
            cursor.set_range(b"live/")
            keys = [bytes(key) for key in cursor.iternext(values=False)]
        return [key[5:].decode() for key in keys if key.startswith(b"live/")]

    def generations(self, table: str) -> list[Generation]:
        catalog = self._open_catalog(make=False)
        if catalog is None:
            return []
        prefix = b"generation/%b/" % table.encode()
        with catalog.begin() as transaction, transaction.cursor() as cursor:
            cursor.set_range(prefix)
            pairs = []
            for key, value in cursor:
                if not key.startswith(prefix):
                    break
                pairs.append(bytes(value))
        return [_decode(value) for value in pairs]

    def live(self, table: str) -> Generation:
        return self._view(table).generation

    def read(self, table: str, keys: Sequence[bytes], number: int | None = None) -> Found:
        view = self._view(table) if number is None else self._numbered(table, number)
        try:
            return Found(view.generation, view.get(keys))
        except self._lmdb.Error as error:
            raise environments.fault(self.root, error) from error

    def scan(self, table: str, number: int) -> Iterator[list[tuple[bytes, bytes]]]:
        view = self._numbered(table, number)
        with view.environment.begin() as transaction, transaction.cursor() as cursor:
            block = []
            for pair in cursor:
                block.append(pair)
                if len(block) == SCAN_ROWS:
                    yield block
                    block = []
            if block:
                yield block

    def _view(self, table: str) -> _View:
        """The live generation, opened once. Another process may have switched since: the catalogue is asked."""
        known = self._views.get(table)
        if known is not None:
            key, raw, view = known
            transaction = self._catalog.begin()
            try:
                if transaction.get(key) == raw:
                    return view
            finally:
                transaction.abort()  # a third of the time that leaving a `with` block takes
        return self._switched(table)

    def _switched(self, table: str) -> _View:
        """The same, for one that was not live when we looked last."""
        catalog, key = self._open_catalog(make=False), b"live/%b" % table.encode()
        for _ in range(3):
            raw = None
            if catalog is not None:
                with catalog.begin() as transaction:
                    raw = transaction.get(key)
            if raw is None:
                raise unknown(table, self.names())
            with contextlib.suppress(self._lmdb.Error):  # dropped since we asked: there is another one by now
                view = self._opened(table, int(raw))
                if table in self._views:
                    self._older.append(self._views[table][2])
                self._views[table] = (key, raw, view)
                return view
        raise unknown(table, self.names())

    def _numbered(self, table: str, number: int) -> _View:
        with contextlib.suppress(self._lmdb.Error):
            for view in self._known():
                if (view.generation.table, view.generation.number) == (table, number):
                    return view
            self._older.append(self._opened(table, number))
            return self._older[-1]
        raise lacking(table, number, self.generations(table))

    def _known(self) -> list[_View]:
        return [view for *_, view in self._views.values()] + self._older

    def _opened(self, table: str, number: int) -> _View:
        stated = next((one for one in self.generations(table) if one.number == number), None)
        if stated is None:
            raise lacking(table, number, self.generations(table))
        return _View(stated, self._folder(table, number))

    def _folder(self, table: str, number: int) -> Path:
        return self.root / demand_name(table) / str(number)

    def _open_catalog(self, *, make: bool) -> Any:
        path = self.root / CATALOG
        if self._catalog is None and (make or (path / "data.mdb").exists()):
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._catalog = environments.acquire(path, writable=True)
                self._catalog.reader_check()
            except (self._lmdb.Error, OSError) as error:
                raise environments.fault(path, error) from error
        return self._catalog

    # ---- writing

    def begin(self, stated: Generation) -> LmdbWriter:
        catalog = self._open_catalog(make=True)
        lock = locked(self.root / stated.table)
        try:
            self._sweep(stated.table)
            number = next_number(catalog, stated.table)
            return LmdbWriter(
                msgspec.structs.replace(stated, number=number), self._folder(stated.table, number), catalog, lock
            )
        except BaseException as error:
            lock.close()
            if isinstance(error, (self._lmdb.Error, OSError)):
                raise environments.fault(self.root, error) from error
            raise

    def _sweep(self, table: str) -> None:
        """Remove what writers that died have left."""
        known = {str(generation.number) for generation in self.generations(table)}
        for folder in (self.root / table).iterdir():
            if folder.is_dir() and folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def switch(self, table: str, number: int) -> Generation:
        generations = self.generations(table)
        chosen = next((generation for generation in generations if generation.number == number), None)
        if chosen is None:
            raise lacking(table, number, generations)
        self._change({b"live/%b" % table.encode(): b"%d" % number})
        return chosen

    def remember(self, generation: Generation, keys: Sequence[bytes], answers: Sequence[bytes]) -> None:
        view = self._numbered(generation.table, generation.number)
        path = view.folder / REMEMBERED
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            environment = environments.acquire(path, writable=True)
            try:
                with environment.begin(write=True) as transaction, transaction.cursor() as cursor:
                    cursor.putmulti(zip(keys, answers, strict=True), overwrite=False)
            finally:
                environments.release(path)
        except (self._lmdb.Error, OSError) as error:
            raise environments.fault(path, error) from error

    def drop(self, table: str, number: int | None = None) -> None:
        generations = self.generations(table)
        if not generations:
            raise unknown(table, self.names())
        if number is None:
            gone = [generation.number for generation in generations]
        else:
            if number not in {generation.number for generation in generations}:
                raise lacking(table, number, generations)
            if self.live(table).number == number:
                raise Conflict(f"generation {number} of table {table!r} is live: switch or roll back first")
            gone = [number]
        keys = [b"generation/%b/%010d" % (table.encode(), one) for one in gone]
        self._change(dict.fromkeys([b"live/%b" % table.encode()] * (number is None) + keys))
        for one in gone:
            shutil.rmtree(self._folder(table, one), ignore_errors=True)

    def _change(self, entries: dict[bytes, bytes | None]) -> None:
        """Change the catalogue, all or nothing, on disk when this returns. None removes."""
        catalog = self._open_catalog(make=True)
        try:
            with catalog.begin(write=True) as transaction:
                for key, value in entries.items():
                    if value is None:
                        transaction.delete(key)
                    else:
                        transaction.put(key, value)
        except (self._lmdb.Error, OSError) as error:
            raise environments.fault(self.root, error) from error

    def close(self) -> None:
        for view in self._known():
            view.close()
        self._views, self._older = {}, []
        if self._catalog is not None:
            environments.release(self.root / CATALOG)
            self._catalog = None
