"""Post: lessons of machines that do not learn to the one that does, and its answers to these.

A lesson is in the database before it is on its way; its answer says what became of it. One that nobody has answered can
be withdrawn.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from servable.online.fleet.tables import CLOCK, LESSONS, fence, of, ring
from servable.stores.databases.port import Database

FORGOTTEN_S: Final = 3600.0
"""A lesson whose answer nobody fetches is deleted after this long."""


class Post:
    """Of one learner."""

    def __init__(self, database: Database, learner: str) -> None:
        self._database = database
        self._learner = learner

    def ask(self, body: bytes) -> int:
        """Put lessons into the post; their number. They are on the database's disk."""
        with self._database.write() as connection:
            stated = sa.insert(LESSONS).values(learner=self._learner, time=CLOCK, body=body).returning(LESSONS.c.seq)
            number: int = connection.execute(stated).scalar_one()
            ring(connection, self._learner)
            return number

    def asked(self, but: Collection[int]) -> list[tuple[int, bytes]]:
        """The lessons that nobody has answered, oldest first, without those whose numbers are known."""
        query = sa.select(LESSONS.c.seq, LESSONS.c.body).where(of(LESSONS, self._learner, LESSONS.c.answer.is_(None)))
        if but:
            query = query.where(LESSONS.c.seq.not_in(list(but)))
        with self._database.read() as connection:
            if connection is None:
                return []
            return [(number, bytes(body)) for number, body in connection.execute(query.order_by(LESSONS.c.seq))]

    def answer(self, epoch: int, number: int, body: bytes) -> None:
        """Tell what became of lessons. Raises Conflict if another learns by now."""
        with self._database.write() as connection:
            fence(connection, self._learner, epoch)
            connection.execute(sa.update(LESSONS).where(LESSONS.c.seq == number).values(answer=body))
            old = of(LESSONS, self._learner, LESSONS.c.answer.is_not(None), LESSONS.c.time < CLOCK - FORGOTTEN_S)
            connection.execute(sa.delete(LESSONS).where(old))
            ring(connection, self._learner)

    def answers(self, numbers: Collection[int]) -> dict[int, bytes]:
        """The answers to these, of those that have one, which leave the post."""
        if not numbers:
            return {}
        answered = sa.and_(LESSONS.c.seq.in_(list(numbers)), LESSONS.c.answer.is_not(None))
        with self._database.read() as connection:
            if connection is None:
                return {}
            found = connection.execute(sa.select(LESSONS.c.seq, LESSONS.c.answer).where(answered)).all()
        if not found:
            return {}
        with self._database.write() as connection:
            connection.execute(sa.delete(LESSONS).where(LESSONS.c.seq.in_([row.seq for row in found])))
        return {row.seq: bytes(row.answer) for row in found}

    def withdraw(self, number: int) -> bytes | None:
        """Take lessons out of the post: the answer, if there is one by now; None: nobody begins with them any more."""
        with self._database.write() as connection:
            stated = sa.delete(LESSONS).where(LESSONS.c.seq == number).returning(LESSONS.c.answer)
            found = connection.execute(stated).scalar_one_or_none()
        return None if found is None else bytes(found)
