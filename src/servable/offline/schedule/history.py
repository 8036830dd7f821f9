"""The history of scheduled runs, in the registry's database, and the lease in it: who runs what until when.

Rows are only added. Of a run there is `started`, `renewed` while it lives, and `done` or `failed`; one without an end
whose lease is over has died with its runner, and is taken over, as is one that was `stopped` with it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import sqlalchemy as sa

from servable.stores.databases.open import open_database
from servable.stores.databases.port import Layout

LEASE_S: Final = 60.0
FILE: Final = "offline/schedules.db"

_TABLES: Final = sa.MetaData()
_RUNS: Final = sa.Table(
    "schedule_runs",
    _TABLES,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("due", sa.Float, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("told", sa.Text, nullable=False, default=""),
)
LAYOUT: Final = Layout("the schedules", 1, _TABLES, {}, only_added=("schedule_runs",))

What = Literal["seen", "started", "renewed", "stopped", "done", "failed", "skipped"]
OPEN: Final = frozenset({"started", "renewed", "stopped"})
"""What a run has not ended with."""


class Happened(NamedTuple):
    """One row: to which schedule what happened, for the run of which time."""

    time: float
    name: str
    due: float
    what: What
    who: str
    told: str


class Taken(NamedTuple):
    """A run that is ours. `again`: whoever began it died."""

    name: str
    due: float
    again: bool


class History:
    """Of one database. `who` names this runner, apart from all others."""

    def __init__(self, url: str, home: Path, who: str, now: Callable[[], float]) -> None:
        self._database = open_database(url, LAYOUT, home / FILE)
        self._who = who
        self._now = now

    def last(self, name: str) -> Happened | None:
        """What happened last to a schedule."""
        return next(iter(self._rows(name, 1)), None)

    def all(self, name: str | None = None, most: int = 100) -> list[Happened]:
        """What happened, the latest first; no renewals."""
        return self._rows(name, most, sa.and_(_RUNS.c.what != "renewed", _RUNS.c.what != "seen"))

    def seen(self, name: str) -> float:
        """The time that was dealt with last; of a schedule that is new, now: it owes nothing of the past."""
        with self._database.hold():
            found = self.last(name)
            if found is None:
                found = self._add(name, self._now(), "seen")
            return found.due

    def take(self, name: str, due: float) -> Taken | None:
        """Take the run of this time, or one that its runner died over; None: somebody has it."""
        with self._database.hold():
            found = self.last(name)
            if found is not None and found.what in OPEN:
                if not self._left(found):
                    return None
                self._add(name, found.due, "started", "taken over")
                return Taken(name, found.due, again=True)
            if found is not None and found.due >= due:
                return None
            self._add(name, due, "started")
            return Taken(name, due, again=False)

    def orphaned(self, name: str) -> bool:
        """Whether a run was begun whose runner has died, or was stopped."""
        found = self.last(name)
        return found is not None and found.what in OPEN and self._left(found)

    def _left(self, found: Happened) -> bool:
        return found.what == "stopped" or found.time + LEASE_S <= self._now()

    def note(self, taken: Taken, what: What, told: str = "") -> None:
        """Tell what became of a run, or that it goes on."""
        self._add(taken.name, taken.due, what, told)

    def skip(self, name: str, due: float) -> None:
        """Let a time pass."""
        with self._database.hold():
            found = self.last(name)
            if found is None or found.due < due:
                self._add(name, due, "skipped")

    def _add(self, name: str, due: float, what: What, told: str = "") -> Happened:
        row: dict[str, Any] = {
            "time": self._now(),
            "name": name,
            "due": due,
            "what": what,
            "who": self._who,
            "told": told,
        }
        with self._database.write() as connection:
            connection.execute(sa.insert(_RUNS), [row])
        return Happened(**row)

    def _rows(self, name: str | None, most: int, where: Any = None) -> list[Happened]:
        query = sa.select(*(_RUNS.c[field] for field in Happened._fields)).order_by(_RUNS.c.seq.desc()).limit(most)
        if name is not None:
            query = query.where(_RUNS.c.name == name)
        if where is not None:
            query = query.where(where)
        with self._database.read() as connection:
            return [] if connection is None else [Happened(*row) for row in connection.execute(query)]
