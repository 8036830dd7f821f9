"""SQLite: tables in one file, private to its owner, shared by the processes of one machine.

A write is on disk when it returns: SQLite syncs its journal, the file and the folder (`synchronous = EXTRA`). Readers
and writers take turns by SQLite's own locks; `hold` is a lock on a file beside it, which the kernel takes back from the
dead.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from servable.errors import EnvironmentFault
from servable.stores.databases.port import Layout

PATIENCE_S: Final = 30.0
"""How long a reader or writer waits for its turn."""


class SQLite:
    """The tables of one file. The file comes into being with the first write."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self._layout = layout
        self._engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), poolclass=sa.NullPool)
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin)

    @property
    def place(self) -> str:
        return str(self.path)

    @contextmanager
    def read(self) -> Iterator[sa.Connection | None]:
        if not self.path.exists():
            yield None
            return
        with self._wall("read"):
            _demand_private(self.path)
            with self._engine.connect() as connection:
                found = self._schema(connection)
                yield connection if found else None  # none: who made the file died before its first write

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with self._wall("write"):
            _make(self.path)
            with self._engine.execution_options(write=True).begin() as connection:
                found = self._schema(connection)
                if found < self._layout.schema:
                    self._upgrade(connection, found)
                yield connection

    @contextmanager
    def hold(self) -> Iterator[None]:
        folder = self.path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(folder / f".{self.path.stem}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot write in {folder}: {error.strerror}; choose another with --home, or make it writable"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _schema(self, connection: sa.Connection) -> int:
        found = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if found > self._layout.schema:
            raise EnvironmentFault(
                f"{self.path} has schema {found}, this program reads up to {self._layout.schema}: install a newer "
                "servable"
            )
        return found

    def _upgrade(self, connection: sa.Connection, found: int) -> None:
        """Bring the file to our schema, in the transaction of the first write."""
        for schema in range(found + 1, self._layout.schema + 1) if found else ():
            for statement in self._layout.upgrades.get(schema, ()):
                connection.exec_driver_sql(statement)
        self._layout.tables.create_all(connection)
        for table in self._layout.only_added:
            for act in ("UPDATE", "DELETE"):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER IF NOT EXISTS {table}_no_{act.lower()} BEFORE {act} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} are only added'); END"
                )
        connection.exec_driver_sql(f"PRAGMA user_version = {self._layout.schema}")

    @contextmanager
    def _wall(self, act: str) -> Iterator[None]:
        """What the file system and SQLite say becomes one error that names the file."""
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            said = str(getattr(error, "orig", error))
            advice = "another process holds it; try again" if "locked" in said else "restore it, or look at the disk"
            raise EnvironmentFault(f"cannot {act} {self._layout.name} {self.path}: {said}; {advice}") from error
        except OSError as error:
            reason = error.strerror or error
            raise EnvironmentFault(f"cannot {act} {self._layout.name} {self.path}: {reason}") from error


def _configure(connection: Any, record: object) -> None:  # noqa: ARG001 - what SQLAlchemy calls it with
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE_S * 1000)}")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = EXTRA")


def _begin(connection: sa.Connection) -> None:
    # A reader that later wants to write could find that somebody else has written: who begins to write says so.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")


def _make(path: Path) -> None:
    """The empty file with its modes, before SQLite would make it with others."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    _demand_private(path)


def _demand_private(path: Path) -> None:
    """Raise EnvironmentFault if others may change what is served."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EnvironmentFault(f"others may write to {path} (mode {mode:04o}): run  chmod go-w {path}")
