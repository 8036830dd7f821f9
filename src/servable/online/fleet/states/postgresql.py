"""States in PostgreSQL, beside all else that machines share of a learner, and fenced as that is."""

from __future__ import annotations

import sqlalchemy as sa

from servable.online.fleet.states.port import Listen, Told
from servable.online.fleet.tables import STATES, fence, of, ring
from servable.stores.databases.port import Database


class PostgresqlStates:
    """A `Log`. The database is its owner's to close."""

    listen: Listen | None = None

    def __init__(self, database: Database, learner: str) -> None:
        self._database = database
        self._learner = learner

    def put(self, epoch: int, told: Told, after: str) -> str | None:  # noqa: ARG002 - the lease alone says who writes
        row = {
            "learner": self._learner, "offset": told.offset, "learned": told.learned, "whole": told.whole,
            "digest": told.digest, "body": told.body,
        }  # fmt: skip
        with self._database.write() as connection:
            fence(connection, self._learner, epoch)
            place = connection.execute(sa.insert(STATES).values(row).returning(STATES.c.seq)).scalar_one()
            if told.whole:
                connection.execute(sa.delete(STATES).where(of(STATES, self._learner, STATES.c.seq < place)))
            ring(connection, self._learner)
        return str(place)

    def since(self, place: str) -> list[tuple[str, Told]]:
        behind = of(STATES, self._learner, STATES.c.seq > int(place or 0))
        with self._database.read() as connection:
            if connection is None:
                return []
            rows = connection.execute(sa.select(STATES).where(behind).order_by(STATES.c.seq)).all()
        return [
            (str(row.seq), Told(row.offset, row.learned, row.whole, bytes(row.digest), bytes(row.body))) for row in rows
        ]

    def close(self) -> None:
        """There is nothing of its own."""
