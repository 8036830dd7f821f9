"""Finds the database that a URL names: none is a file of SQLite; `postgresql://…` is a server."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from servable.errors import UsageError
from servable.stores.databases.port import Database, Layout
from servable.stores.databases.sqlite import SQLite


def open_database(url: str, layout: Layout, default: Path) -> Database:
    """The database of a URL: `postgresql://user@host/name`, `sqlite:///path`, or empty for the default file.

    Raises UsageError for another kind, MissingExtra.
    """
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
