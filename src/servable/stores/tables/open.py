"""Finds the tables that a URL names: none, or a folder, is LMDB; `redis://…` and `postgresql://…` are servers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from servable.errors import UsageError
from servable.stores.tables.port import Tables

FOLDER: Final = "offline/tables"


def open_tables(home: Path, url: str = "") -> Tables:
    """The tables of a home, or those at a URL. Cheap: nothing is reached before it is asked.

    Raises UsageError, MissingExtra.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme in {"lmdb", "file"}:
        from servable.stores.tables.lmdb import LmdbTables

        folder = url.removeprefix(f"{scheme}://") if separator else url
        return LmdbTables(Path(folder).expanduser() if folder else home / FOLDER)
    if scheme in {"redis", "rediss", "valkey", "unix"}:
        from servable.stores.tables.redis import RedisTables

        return RedisTables(url.replace("valkey://", "redis://", 1))
    if scheme in {"postgresql", "postgres"}:
        from servable.stores.tables.postgresql import PostgresTables

        return PostgresTables(url)
    raise UsageError(f"tables cannot be kept in {scheme}://: expected a folder, redis://, valkey:// or postgresql://")
