"""Post: what goes between the machine that learns and the others: its states, their lessons, and its answers to these.

A state goes whole, or as what changed since the one before it. A lesson is in the database before it is on its way; its
answer says what became of it. One that nobody has answered can be withdrawn.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import sqlalchemy as sa

from servable.online.fleet.difference import checked, difference, digest, patched
from servable.online.fleet.tables import CLOCK, LESSONS, STATES, fence, of, ring
from servable.stores.databases.port import Database

WHOLE_EVERY: Final = 50
"""States from one that is whole to the next."""
FORGOTTEN_S: Final = 3600.0
"""A lesson whose answer nobody fetches is deleted after this long."""


class State(NamedTuple):
    """A learner's state at an offset, and how many examples had an effect until there."""

    offset: int
    learned: int
    body: bytes


class Post:
    """Of one learner. It remembers the last state that it sent, or got: the next is told as what changed."""

    def __init__(self, database: Database, learner: str) -> None:
        self._database = database
        self._learner = learner
        self._last: State | None = None
        self._place = 0
        self._until_whole = 0

    # ---- states

    def publish(self, epoch: int, state: State) -> None:
        """Let all have a state. Raises Conflict if another learns by now."""
        changed = b"" if self._last is None else difference(self._last.body, state.body)
        whole = self._last is None or self._until_whole <= 0 or 2 * len(changed) > len(state.body)
        row = {
            "learner": self._learner, "offset": state.offset, "learned": state.learned, "whole": whole,
            "digest": digest(state.body), "body": state.body if whole else changed,
        }  # fmt: skip
        self._last = None  # whatever becomes of this: the next one goes whole, unless it went well
        with self._database.write() as connection:
            fence(connection, self._learner, epoch)
            stated = sa.insert(STATES).values(row).returning(STATES.c.seq)
            place = connection.execute(stated).scalar_one()
            if whole:  # what came before it is of no use any more
                connection.execute(sa.delete(STATES).where(of(STATES, self._learner, STATES.c.seq < place)))
            ring(connection, self._learner)
        self._until_whole = WHOLE_EVERY if whole else self._until_whole - 1
        self._last, self._place = state, place

    def forget(self) -> None:
        """Begin anew: the next state that is published goes whole, and the newest there is is fetched."""
        self._last, self._place = None, 0

    def fetch(self) -> State | None:
        """The newest state, if it is not the one that was fetched last. Raises CorruptModel."""
        query = sa.select(STATES).where(of(STATES, self._learner, STATES.c.seq > self._place)).order_by(STATES.c.seq)
        with self._database.read() as connection:
            rows = [] if connection is None else connection.execute(query).all()
        if not rows:
            return None
        begin = next((place for place in reversed(range(len(rows))) if rows[place].whole), 0)
        state = self._last
        for row in rows[begin:]:
            body = bytes(row.body)
            if row.whole:
                body = checked(body, bytes(row.digest))
            elif state is not None:
                body = patched(state.body, body, bytes(row.digest))
            else:  # it goes on from one that was deleted meanwhile: the next look finds a whole one
                return None
            state = State(row.offset, row.learned, body)
        self._last, self._place = state, rows[-1].seq
        return state

    # ---- lessons

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
