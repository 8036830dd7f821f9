"""Ledger: the lease of a learner, its journal and its snapshots, shared by machines. What is written here is fenced.

An event is accepted when `append` has returned: the transaction that wrote it has seen that the lease was still ours,
and is on the database's disk. Called by `keeper.py`, on threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from servable.errors import Conflict
from servable.online.fleet.tables import CLOCK, EVENTS, LEASES, SNAPSHOTS, fence, of, ring
from servable.online.identity import same
from servable.stores.databases.port import Database

SNAPSHOTS_KEPT: Final = 3
PAGE_EVENTS: Final = 1000


class Standing(NamedTuple):
    """Who learns, by the newest epoch; `left_s` until that lease is over, if it is not renewed; what it last told."""

    epoch: int
    who: str
    left_s: float
    offset: int
    report: str


class Written(NamedTuple):
    """An event as it is written: the examples before it, and after it, when it came, its bytes."""

    offset: int
    after: int
    time: float
    body: bytes


class Ledger:
    """Of one learner, whose `identity` is that of `identity.py`. `who` is told to people."""

    def __init__(self, database: Database, learner: str, identity: str, who: str, lease_s: float) -> None:
        self.learner = learner
        self._database = database
        self._identity = identity
        self._who = who
        self.lease_s = lease_s

    # ---- the lease

    def standing(self) -> Standing | None:
        """Who learns; None: nobody ever has. Raises Conflict for another learner."""
        columns = (
            LEASES.c.epoch, LEASES.c.who, LEASES.c.until - CLOCK, LEASES.c.offset, LEASES.c.report, LEASES.c.identity,
        )  # fmt: skip
        with self._database.read() as connection:
            if connection is None:
                return None
            found = connection.execute(sa.select(*columns).where(of(LEASES, self.learner))).one_or_none()
        if found is None:
            return None
        self._same(found[-1])
        return Standing(*found[:-1])

    def take(self) -> int | None:
        """Be the one that learns: the new epoch; None if somebody is. Raises Conflict for another learner."""
        fresh = {"learner": self.learner, "identity": self._identity, "epoch": 0, "who": "", "until": 0.0, "offset": 0}
        row = of(LEASES, self.learner)
        with self._database.hold(), self._database.write() as connection:  # the first of all makes the tables
            connection.execute(
                postgresql.insert(LEASES).values(**fresh, report="").on_conflict_do_nothing(index_elements=["learner"])
            )
            columns = (LEASES.c.identity, LEASES.c.epoch, LEASES.c.until - CLOCK)
            identity, epoch, left_s = connection.execute(sa.select(*columns).where(row).with_for_update()).one()
            self._same(identity)
            if left_s > 0:
                return None
            now = {"epoch": epoch + 1, "who": self._who, "until": CLOCK + self.lease_s}
            connection.execute(sa.update(LEASES).where(row).values(**now))
            ring(connection, self.learner)
        return int(epoch) + 1

    def _same(self, identity: str) -> None:
        place = f"the journal of {self.learner} that machines share"
        same(place, identity, self._identity, "or the same one on all machines, from a shared registry")

    def renew(self, epoch: int, report: str) -> None:
        """Go on learning, and tell all how it goes. Raises Conflict if another does by now."""
        with self._database.write() as connection:
            fence(connection, self.learner, epoch)
            now = {"until": CLOCK + self.lease_s, "report": report}
            connection.execute(sa.update(LEASES).where(of(LEASES, self.learner)).values(**now))

    def release(self, epoch: int) -> None:
        """Let another learn at once."""
        with self._database.write() as connection:
            fence(connection, self.learner, epoch)
            connection.execute(sa.update(LEASES).where(of(LEASES, self.learner)).values(until=0.0))
            ring(connection, self.learner)

    # ---- the journal

    def append(self, epoch: int, expected: int, events: Sequence[Written]) -> None:
        """Put events at the end of the journal, where `expected` examples stand: all of them, or none.

        Raises Conflict if another learns by now, or the journal stands elsewhere.
        """
        with self._database.write() as connection:
            offset = fence(connection, self.learner, epoch)
            if offset != expected:
                raise Conflict(f"the journal of {self.learner} stands at example {offset}, expected was {expected}")
            rows = [{"learner": self.learner, "epoch": epoch, **event._asdict()} for event in events]
            connection.execute(sa.insert(EVENTS), rows)
            after = max(event.after for event in events)
            if after > offset:
                connection.execute(sa.update(LEASES).where(of(LEASES, self.learner)).values(offset=after))

    def read(self, first: int, since: float = 0.0, place: int = 0) -> list[tuple[int, Written]]:
        """A page of the events behind a place, each with its own: those with examples from offset `first` on, and all
        without any that came after `since` (seconds since the epoch). Empty at the end.
        """
        plain = EVENTS.c.after == EVENTS.c.offset
        wanted = sa.or_(sa.and_(~plain, EVENTS.c.after > first), sa.and_(plain, EVENTS.c.time >= since))
        columns = (EVENTS.c.seq, EVENTS.c.offset, EVENTS.c.after, EVENTS.c.time, EVENTS.c.body)
        query = sa.select(*columns).where(of(EVENTS, self.learner, EVENTS.c.seq > place, wanted))
        with self._database.read() as connection:
            if connection is None:
                return []
            found = connection.execute(query.order_by(EVENTS.c.seq).limit(PAGE_EVENTS))
            return [(row[0], Written(*row[1:])) for row in found]

    # ---- snapshots

    def keep(self, epoch: int, offset: int, body: bytes) -> None:
        """A snapshot, and no more than a few before it. Raises Conflict if another learns by now."""
        row = of(SNAPSHOTS, self.learner)
        with self._database.write() as connection:
            fence(connection, self.learner, epoch)
            stated = postgresql.insert(SNAPSHOTS).values(learner=self.learner, offset=offset, body=body)
            connection.execute(stated.on_conflict_do_update(index_elements=["learner", "offset"], set_={"body": body}))
            last = sa.select(SNAPSHOTS.c.offset).where(row).order_by(SNAPSHOTS.c.offset.desc()).limit(SNAPSHOTS_KEPT)
            connection.execute(sa.delete(SNAPSHOTS).where(row, SNAPSHOTS.c.offset.not_in(last.scalar_subquery())))

    def last(self) -> tuple[int, bytes]:
        """Where the journal stands, and the newest snapshot, if there is one."""
        standing = self.standing()
        return 0 if standing is None else standing.offset, self.newest()

    def newest(self) -> bytes:
        """The newest snapshot; empty: there is none."""
        query = sa.select(SNAPSHOTS.c.body).where(of(SNAPSHOTS, self.learner))
        with self._database.read() as connection:
            if connection is None:
                return b""
            found = connection.execute(query.order_by(SNAPSHOTS.c.offset.desc()).limit(1)).scalar_one_or_none()
            return b"" if found is None else bytes(found)
