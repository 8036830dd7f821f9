"""Journal: the events on disk, in an SQLite file that only grows. Knows no bundle and decides nothing.

An append is on disk when it returns: SQLite syncs its journal, the file and the folder (`synchronous = EXTRA`). Readers
and writers of several processes take turns by SQLite's own locks. Triggers refuse to change or delete a row.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from servable.errors import EnvironmentFault
from servable.registry.event import Event

SCHEMA: Final = 1
"""The newest layout of the file that this program reads."""

PATIENCE_S: Final = 30.0
"""How long a reader or writer waits for its turn."""

_TABLES: Final = sa.MetaData()
_EVENTS: Final = sa.Table(
    "events",
    _TABLES,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("alias", sa.Text, nullable=False, default=""),
    sa.Column("digest", sa.Text, nullable=False, default=""),
    sa.Column("detail", sa.JSON, nullable=False, default=dict),
)
_GUARDS: Final = [
    f"CREATE TRIGGER IF NOT EXISTS no_{act.lower()} BEFORE {act} ON events "
    "BEGIN SELECT RAISE(ABORT, 'events are only added'); END"
    for act in ("UPDATE", "DELETE")
]


class Journal:
    """The events of one file. The file comes into being with the first append, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), poolclass=sa.NullPool)
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin)

    def read(self, name: str | None = None) -> list[Event]:
        """All events, or those of one name, in their order. None of them where there is no file."""
        if not self.path.exists():
            return []
        query = sa.select(_EVENTS).order_by(_EVENTS.c.seq)
        if name is not None:
            query = query.where(_EVENTS.c.name == name)
        with self._wall("read"):
            _demand_private(self.path)
            with self._engine.connect() as connection:
                _demand_schema(connection, self.path)
                if not sa.inspect(connection).has_table("events"):
                    return []  # the process that made the file died before its first event
                return [Event(**row) for row in connection.execute(query).mappings()]

    def append(self, events: list[Event]) -> None:
        """Add events, all or none; their `seq` is given here, whatever they say. On disk when this returns."""
        with self._wall("write"):
            _make(self.path)
            with self._engine.execution_options(write=True).begin() as connection:
                _demand_schema(connection, self.path)
                _TABLES.create_all(connection)
                for guard in _GUARDS:
                    connection.exec_driver_sql(guard)
                connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
                connection.execute(sa.insert(_EVENTS), [_row(event) for event in events])

    @contextmanager
    def _wall(self, act: str) -> Iterator[None]:
        """What the file system and SQLite say becomes one error that names the file."""
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            said = str(getattr(error, "orig", error))
            advice = "another process holds it; try again" if "locked" in said else "restore it, or look at the disk"
            raise EnvironmentFault(f"cannot {act} the registry {self.path}: {said}; {advice}") from error
        except OSError as error:
            raise EnvironmentFault(f"cannot {act} the registry {self.path}: {error.strerror or error}") from error


def _row(event: Event) -> dict[str, Any]:
    return {column.name: getattr(event, column.name) for column in _EVENTS.columns if column.name != "seq"}


def _configure(connection: Any, record: object) -> None:  # noqa: ARG001 - what SQLAlchemy calls it with
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE_S * 1000)}")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = EXTRA")


def _begin(connection: sa.Connection) -> None:
    # A reader that later wants to write could find that somebody else has written: who begins to write says so.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")


def _demand_schema(connection: sa.Connection, path: Path) -> None:
    found = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if found > SCHEMA:
        raise EnvironmentFault(
            f"{path} has schema {found}, this program reads up to {SCHEMA}: install a newer servable"
        )


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
