"""Journal: the events, in a table that only grows. Knows no bundle and decides nothing.

The bodies of events (verdicts with their evidence) may be large and are read for themselves.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from servable.registry.event import Event
from servable.stores.databases.open import open_database
from servable.stores.databases.port import Database, Layout

_TABLES: Final = sa.MetaData()
_EVENTS: Final = sa.Table(
    "events",
    _TABLES,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("alias", sa.Text, nullable=False, default=""),
    sa.Column("digest", sa.Text, nullable=False, default=""),
    sa.Column("detail", sa.Text, nullable=False, default="{}"),
    sa.Column("body", sa.Text, nullable=False, server_default="[]"),
)
_BRIEF: Final = [column for column in _EVENTS.columns if column.name != "body"]
LAYOUT: Final = Layout(
    "the registry",
    2,
    _TABLES,
    {2: ("ALTER TABLE events ADD COLUMN body TEXT NOT NULL DEFAULT '[]'",)},
    only_added=("events",),
)


class Journal:
    """The events of one registry. Nothing comes into being before the first append."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @staticmethod
    def at(url: str, default: Path) -> Journal:
        """The journal of a database's URL; of none, that in the default file."""
        return Journal(open_database(url, LAYOUT, default))

    def hold(self) -> AbstractContextManager[None]:
        """Be the only one who writes, from a decision to its append."""
        return self.database.hold()

    def read(self, name: str | None = None, since: int = 0) -> list[Event]:
        """All events from `since` on, or those of one name, in their order, without their bodies."""
        query = sa.select(*_BRIEF).where(_EVENTS.c.seq >= since).order_by(_EVENTS.c.seq)
        if name is not None:
            query = query.where(_EVENTS.c.name == name)
        told: dict[str, dict[str, Any]] = {}  # most versions of a name have the same detail: it is read once
        with self.database.read() as connection:
            return [] if connection is None else [_event(row, told) for row in connection.execute(query).all()]

    def bodies(self, name: str, kind: str) -> list[Event]:
        """Events of one kind of a name, in their order, as a whole."""
        if all(event.kind != kind for event in self.read(name)):
            return []  # among others, a table of schema 1: it has no bodies
        query = sa.select(_EVENTS).where(_EVENTS.c.name == name, _EVENTS.c.kind == kind).order_by(_EVENTS.c.seq)
        with self.database.read() as connection:
            return [] if connection is None else [_event(row, {}) for row in connection.execute(query).all()]

    def append(self, events: list[Event]) -> None:
        """Add events, all or none; their `seq` is given here, whatever they say. On disk when this returns."""
        with self.database.write() as connection:
            connection.execute(sa.insert(_EVENTS), [_row(event) for event in events])


def _event(row: Any, told: dict[str, dict[str, Any]]) -> Event:
    seq, time, who, kind, name, version, alias, digest, detail, *body = row
    if detail not in told:
        told[detail] = msgspec.json.decode(detail)
    whole = msgspec.json.decode(body[0]) if body else []
    return Event(seq, time, who, kind, name, version, alias, digest, told[detail], whole)


def _row(event: Event) -> dict[str, Any]:
    row = {column.name: getattr(event, column.name) for column in _EVENTS.columns if column.name != "seq"}
    return row | {key: msgspec.json.encode(row[key]).decode() for key in ("detail", "body")}
