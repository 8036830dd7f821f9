"""Tables of what machines share of their learners, in PostgreSQL: who learns, the journal, snapshots, states, lessons.

The lease of a learner is one row. Whoever changes what must have one writer locks that row first, and finds its own
epoch in it: a process that slept while another took over finds a higher one, and changes nothing.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from servable.errors import Conflict, UsageError
from servable.stores.databases.port import Layout
from servable.stores.databases.postgresql import PostgreSQL

CHANNEL: Final = "servable_learning"
"""Whoever listens to it is told the name of a learner of which something has changed."""

_ALL: Final = sa.MetaData()
LEASES: Final = sa.Table(
    "learning_leases",
    _ALL,
    sa.Column("learner", sa.Text, primary_key=True),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("report", sa.Text, nullable=False),
)
EVENTS: Final = sa.Table(
    "learning_events",
    _ALL,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("learner", sa.Text, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("after", sa.BigInteger, nullable=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("learning_events_of", "learner", "seq"),
)
SNAPSHOTS: Final = sa.Table(
    "learning_snapshots",
    _ALL,
    sa.Column("learner", sa.Text, primary_key=True),
    sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
STATES: Final = sa.Table(
    "learning_states",
    _ALL,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("learner", sa.Text, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("learned", sa.BigInteger, nullable=False),
    sa.Column("whole", sa.Boolean, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("learning_states_of", "learner", "seq"),
)
LESSONS: Final = sa.Table(
    "learning_lessons",
    _ALL,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("learner", sa.Text, nullable=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("answer", sa.LargeBinary),
    sa.Index("learning_lessons_of", "learner", "seq"),
)
LAYOUT: Final = Layout("the shared learning", 1, _ALL, {}, only_added=("learning_events",))

CLOCK: Final = sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Float)
"""Seconds since the epoch by the database's clock: those of the machines need not agree."""


def database_of(url: str) -> PostgreSQL:
    """The database of `learning_url`. Raises UsageError for another kind, MissingExtra."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise UsageError(f"learning_url {url!r}: expected postgresql://USER@HOST/NAME") from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise UsageError(f"learning_url: learners are shared through postgresql://…, not {parsed.get_backend_name()}")
    return PostgreSQL(parsed, LAYOUT, lasting=True)


def fence(connection: sa.Connection, learner: str, epoch: int) -> int:
    """Lock the lease, until the transaction ends, and see that it is that of `epoch`; the journal's offset.

    Raises Conflict if somebody else holds it.
    """
    query = sa.select(LEASES.c.epoch, LEASES.c.offset).where(LEASES.c.learner == learner).with_for_update()
    found = connection.execute(query).one_or_none()
    if found is None or found.epoch != epoch:
        raise Conflict(f"another machine learns for {learner} by now")
    return int(found.offset)


def ring(connection: sa.Connection, learner: str) -> None:
    """Once this transaction is in force, let all know that there is something new."""
    connection.execute(sa.select(sa.func.pg_notify(CHANNEL, learner)))


def of(table: sa.Table, learner: str, *more: Any) -> Any:
    """The rows of one learner, as a condition."""
    return sa.and_(table.c.learner == learner, *more)
