"""Database: the port. Tables of a known layout, in which some only grow; whole transactions; one holder at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import sqlalchemy as sa

from servable.errors import UsageError


class Layout(NamedTuple):
    """The tables of a program. `upgrades[n]` are the statements that bring schema n - 1 to n, in any dialect."""

    name: str
    """What the tables are together, for messages: `the registry`."""
    schema: int
    tables: sa.MetaData
    upgrades: dict[int, tuple[str, ...]]
    only_added: tuple[str, ...]
    """Tables whose rows are never changed nor deleted: the database itself refuses."""


class Database(Protocol):
    """Where tables lie. Whatever the database or its driver says comes out as EnvironmentFault that names the place."""

    @property
    def place(self) -> str:
        """The file or the URL (without its password), for messages."""
        ...

    def read(self) -> AbstractContextManager[sa.Connection | None]:
        """A transaction that sees one state; None where nothing was ever written. Makes nothing."""
        ...

    def write(self) -> AbstractContextManager[sa.Connection]:
        """A transaction, on disk when it ends without an error, else undone. Tables of an older schema are upgraded."""
        ...

    def hold(self) -> AbstractContextManager[None]:
        """Be the only one, of all processes and machines, between a decision and its write. Given back by the dead."""
        ...


def database_at(url: str, layout: Layout, default: Path) -> Database:
    """The database of a URL: `postgresql://user@host/name`, `sqlite:///path`, or empty for the default file.

    Raises UsageError for another kind, MissingExtra.
    """
    from servable.stores.databases.sqlite import SQLite

    if not url:
        return SQLite(default, layout)
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise UsageError(f"{url!r} is no database: expected postgresql://USER@HOST/NAME or sqlite:///PATH") from error
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database:
        return SQLite(Path(parsed.database), layout)
    if kind in {"postgresql", "postgres"}:
        from servable.stores.databases.postgresql import PostgreSQL

        return PostgreSQL(parsed, layout)
    raise UsageError(
        f"a database of kind {kind!r} is not spoken: expected postgresql://USER@HOST/NAME or sqlite:///PATH"
    )
