"""DeviceRecords: what models answered on devices, sent home later. On disk before anybody is told so; each id once.

Devices send again what they heard no answer to, so the same record comes twice: the first one stays. What is older than
its days is let go of.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from servable.monitoring.age import Age
from servable.stores.databases.open import open_database
from servable.stores.databases.port import Database, Layout
from servable.wire.device_records import DeviceRecord

_TABLES: Final = sa.MetaData()
_RECORDS: Final = sa.Table(
    "device_records",
    _TABLES,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("received", sa.Double, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("record", sa.Text, nullable=False),
    sa.Index("device_records_by_id", "name", "id", unique=True),
)
LAYOUT: Final = Layout("the records of devices", 1, _TABLES, {}, only_added=())


class DeviceRecords:
    """Those of all models of a home, or of all machines that share a database. Every method raises EnvironmentFault."""

    def __init__(self, database: Database, days: float) -> None:
        self._database = database
        self._age = Age(days)

    @staticmethod
    def at(url: str, home: Path, days: float) -> DeviceRecords:
        """In the database of a URL; of none, in a file of the home."""
        return DeviceRecords(open_database(url, LAYOUT, home / "devices.db"), days)

    def take(self, name: str, source: str, records: Sequence[DeviceRecord]) -> list[DeviceRecord]:
        """Add the records that are not there yet, and give these. On disk when this returns."""
        now = time.time()
        c = _RECORDS.c
        fresh: dict[str, DeviceRecord] = {}
        for record in records:
            fresh.setdefault(record.id, record)
        with self._database.hold(), self._database.write() as connection:
            known = connection.execute(sa.select(c.id).where(c.name == name, c.id.in_(list(fresh)))).scalars()
            for id in known:
                del fresh[id]
            rows = [
                {"received": now, "source": source, "name": name, "id": id, "record": _text(record)}
                for id, record in fresh.items()
            ]
            if rows:
                connection.execute(sa.insert(_RECORDS), rows)
            if (past := self._age.past(now)) is not None:
                connection.execute(sa.delete(_RECORDS).where(c.received < past))
        return list(fresh.values())

    def after(self, name: str, place: int, most: int) -> list[tuple[int, DeviceRecord]]:
        """The next records of a model behind a place, each with its own."""
        c = _RECORDS.c
        query = sa.select(c.seq, c.record).where(c.name == name, c.seq > place).order_by(c.seq).limit(most)
        with self._database.read() as connection:
            rows = [] if connection is None else connection.execute(query).all()
        return [(row.seq, msgspec.json.decode(row.record, type=DeviceRecord)) for row in rows]


def _text(record: DeviceRecord) -> str:
    return msgspec.json.encode(record).decode()
