"""Outcomes: what became of predictions, and what was answered to those whose outcomes are waited for, in two tables.

Outcomes are only added: a correction is another one. Written by all doors, on disk before anybody is told so; read by
whoever compares versions. What is older than its days is let go of.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from servable.domain.outcome import Outcome
from servable.domain.success import Said
from servable.monitoring.age import Age
from servable.monitoring.kept import Kept, Told
from servable.stores.databases.open import open_database
from servable.stores.databases.port import Database, Layout

AT_ONCE: Final = 500
"""Ids or units that are asked for in one query."""

_TABLES: Final = sa.MetaData()
_ANSWERS: Final = sa.Table(
    "answers",
    _TABLES,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("said", sa.Text, nullable=False),
    sa.Index("answers_by_id", "name", "id"),
    sa.Index("answers_by_unit", "name", "unit"),
)
_OUTCOMES: Final = sa.Table(
    "outcomes",
    _TABLES,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("received", sa.Double, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Index("outcomes_by_id", "name", "id"),
)
LAYOUT: Final = Layout("the outcomes", 1, _TABLES, {}, only_added=())


class Outcomes:
    """Those of all models of a home, or of all machines that share a database. Nothing comes into being before the
    first write. Every method raises EnvironmentFault.
    """

    def __init__(self, database: Database, days: float) -> None:
        self._database = database
        self._age = Age(days)

    @staticmethod
    def at(url: str, home: Path, days: float) -> Outcomes:
        """In the database of a URL; of none, in a file of the home."""
        return Outcomes(open_database(url, LAYOUT, home / "outcomes.db"), days)

    def take(self, told: Sequence[tuple[str, str, Outcome]]) -> None:
        """Add outcomes, each with the model's name and who told it. On disk when this returns."""
        now = time.time()
        rows = [
            {
                "received": now, "source": source, "name": name, "id": one.id, "version": one.version,
                "time": one.time, "outcome": msgspec.json.encode(one.outcome).decode(),
            }
            for name, source, one in told
        ]  # fmt: skip
        self._add(_OUTCOMES, rows, now)

    def keep(self, answers: Sequence[tuple[str, Kept]]) -> None:
        """Add answers, each with the model's name."""
        rows = [
            {
                "time": kept.time, "name": name, "version": kept.version, "unit": kept.unit, "id": kept.id,
                "said": msgspec.json.encode(kept.said).decode(),
            }
            for name, kept in answers
        ]  # fmt: skip
        self._add(_ANSWERS, rows, time.time())

    def _add(self, table: sa.Table, rows: list[dict[str, Any]], now: float) -> None:
        # One writer at a time: places are given in the order in which they can be read.
        with self._database.hold(), self._database.write() as connection:
            connection.execute(sa.insert(table), rows)
            if (past := self._age.past(now)) is not None:
                connection.execute(sa.delete(_OUTCOMES).where(_OUTCOMES.c.received < past))
                connection.execute(sa.delete(_ANSWERS).where(_ANSWERS.c.time < past))

    def last(self) -> int:
        """The place of the newest outcome."""
        with self._database.read() as connection:
            return (
                0 if connection is None else connection.execute(sa.select(sa.func.max(_OUTCOMES.c.seq))).scalar() or 0
            )

    def answers_after(self, name: str, place: int, since: float, most: int) -> list[Kept]:
        """The next answers of a name, of those that were given since a moment."""
        c = _ANSWERS.c
        query = sa.select(_ANSWERS).where(c.name == name, c.seq > place, c.time >= since).order_by(c.seq).limit(most)
        return [kept for rows in self._read(query) for kept in map(_kept, rows)]

    def outcomes_after(self, name: str, place: int, most: int) -> list[Told]:
        """The next outcomes of a name."""
        c = _OUTCOMES.c
        query = sa.select(_OUTCOMES).where(c.name == name, c.seq > place).order_by(c.seq).limit(most)
        return [told for rows in self._read(query) for told in map(_told, rows)]

    def answers_of(self, name: str, since: float, *, ids: Sequence[str] = (), units: Sequence[str] = ()) -> list[Kept]:
        """Those with these ids, or of these units."""
        c = _ANSWERS.c
        wanted, column = (units, c.unit) if units else (ids, c.id)
        of = sa.select(_ANSWERS).where(c.name == name, c.time >= since)
        return [
            kept
            for part in _parts(wanted)
            for rows in self._read(of.where(column.in_(part)))
            for kept in map(_kept, rows)
        ]

    def outcomes_of(self, name: str, ids: Sequence[str]) -> list[Told]:
        """All that was ever told of these predictions."""
        c = _OUTCOMES.c
        of = sa.select(_OUTCOMES).where(c.name == name)
        return [
            told for part in _parts(ids) for rows in self._read(of.where(c.id.in_(part))) for told in map(_told, rows)
        ]

    def forget(self, name: str, before: float) -> None:
        """Let go of a name's answers of before a moment: nobody waits for their outcomes any more."""
        c = _ANSWERS.c
        with self._database.read() as connection:
            there = (
                connection is not None
                and connection.execute(sa.select(c.seq).where(c.name == name, c.time < before).limit(1)).first()
            )
        if there:
            with self._database.hold(), self._database.write() as connection:
                connection.execute(sa.delete(_ANSWERS).where(c.name == name, c.time < before))

    def _read(self, query: sa.Select[Any]) -> Iterator[Sequence[Any]]:
        with self._database.read() as connection:
            if connection is not None:
                yield connection.execute(query).all()


def _parts(wanted: Sequence[str]) -> Iterator[Sequence[str]]:
    return (wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE))


def _kept(row: Any) -> Kept:
    return Kept(row.version, row.unit, row.id, msgspec.json.decode(row.said, type=Said), row.time, row.seq)


def _told(row: Any) -> Told:
    return Told(row.seq, Outcome(row.id, msgspec.json.decode(row.outcome), row.time, row.version))
