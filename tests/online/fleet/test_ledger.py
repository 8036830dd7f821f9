"""What machines share of a learner, in a real PostgreSQL: one learns, and who lost the lease changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from servable.domain.batch import Batch
from servable.errors import Conflict, EnvironmentFault, UsageError
from servable.online.event import Asked, Event, Examples, column, columns, encode
from servable.online.fleet.copy import copy_journal
from servable.online.fleet.ledger import Ledger, Written
from servable.online.fleet.post import Post
from servable.online.fleet.states.feed import Feed
from servable.online.fleet.states.port import State
from servable.online.fleet.states.postgresql import PostgresqlStates
from servable.online.fleet.tables import EVENTS, database_of
from servable.online.journal import read
from servable.stores.databases.postgresql import PostgreSQL
from tests.postgresql import postgresql
from tests.server.supervised import eventually

ASLEEP_S = 0.3
"""The lease of a machine that will sleep over its end."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgresql() as found:
        yield found


@pytest.fixture
def database(url: str) -> Iterator[PostgreSQL]:
    found = database_of(url)
    yield found
    found.close()


def event(rows: int, time: float = 1.0) -> Event:
    ids, told = tuple(f"{time}/{row}" for row in range(rows)), columns(Batch({"x": np.full((max(rows, 1), 2), time)}))
    return Examples(time, "", ids, (0,) * rows, told, column("", np.zeros(rows))) if rows else Asked(time, ("a",), told)


def written(offset: int, what: Event) -> Written:
    return Written(offset, offset + what.rows, what.time, encode(what))


def test_one_machine_learns_until_its_lease_is_over(database: PostgreSQL) -> None:
    here, there = (Ledger(database, "turns:1", "d", who, ASLEEP_S) for who in ("here", "there"))
    assert here.standing() is None
    assert (here.take(), there.take(), here.take()) == (1, None, None)
    found = there.standing()
    assert found is not None
    assert (found.epoch, found.who, found.offset) == (1, "here", 0)
    assert 0 < found.left_s <= ASLEEP_S
    here.renew(1, '{"learned": 0}')
    eventually(lambda: there.take() == 2, "the lease to be over")
    with pytest.raises(Conflict, match="another machine learns for turns:1"):
        here.renew(1, "")
    with pytest.raises(Conflict, match="another machine learns"):
        here.release(1)
    there.release(2)
    assert here.take() == 3
    other = Ledger(database, "turns:1", "e", "elsewhere", ASLEEP_S)
    for act in (other.take, other.standing):
        with pytest.raises(Conflict, match="the digest d has learned, and this one's is e"):
            act()


def test_of_many_that_want_to_learn_one_does(database: PostgreSQL) -> None:
    ledgers = [Ledger(database, "crowd:1", "d", str(number), 60.0) for number in range(8)]
    epochs: list[int | None] = []
    threads = [threading.Thread(target=lambda one=one: epochs.append(one.take())) for one in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(epochs, key=str) == [1, *[None] * 7]


def test_who_lost_the_lease_appends_nothing_and_publishes_nothing(database: PostgreSQL, tmp_path: Path) -> None:
    old, new = (Ledger(database, "fence:1", "d", who, ASLEEP_S) for who in ("old", "new"))
    assert old.take() == 1
    events = [event(3), event(0), event(2, 2.0)]
    old.append(1, 0, [written(0, events[0]), written(3, events[1]), written(3, events[2])])
    with pytest.raises(Conflict, match="stands at example 5, expected was 3"):
        old.append(1, 3, [written(3, events[0])])
    old.keep(1, 5, b"snapshot")
    feed = Feed(PostgresqlStates(database, "fence:1"))
    feed.publish(1, State(5, 5, b"state"))
    eventually(lambda: new.take() == 2, "the lease to be over")
    with pytest.raises(Conflict, match="another machine learns"):
        old.append(1, 5, [written(5, event(1, 3.0))])
    with pytest.raises(Conflict, match="another machine learns"):
        old.keep(1, 6, b"later")
    with pytest.raises(Conflict, match="another machine learns"):
        feed.publish(1, State(6, 6, b"later"))
    new.append(2, 5, [written(5, event(1, 4.0))])

    assert (new.newest(), Feed(PostgresqlStates(database, "fence:1")).fetch()) == (b"snapshot", State(5, 5, b"state"))
    told = [one for _, one in new.read(0)]
    assert [(one.offset, one.after) for one in told] == [(0, 3), (3, 3), (3, 5), (5, 6)]
    assert [one.offset for _, one in new.read(4, since=2.0)] == [3, 5]
    place = new.read(0)[1][0]
    assert [one.offset for _, one in new.read(0, place=place)] == [3, 5]
    copy_journal(database.place, "fence:1", "d", tmp_path)
    assert [encode(entry.event) for entry in read(tmp_path / "journal")] == [one.body for one in told]
    with pytest.raises(EnvironmentFault, match="only added"), database.write() as connection:
        connection.execute(sa.delete(EVENTS))


def test_lessons_wait_until_they_are_answered_or_withdrawn(database: PostgreSQL) -> None:
    learns = Ledger(database, "post:1", "d", "here", 60.0)
    assert learns.take() == 1
    there, here = Post(database, "post:1"), Post(database, "post:1")
    first, second, third = (there.ask(body) for body in (b"a", b"b", b"c"))
    assert here.asked(()) == [(first, b"a"), (second, b"b"), (third, b"c")]
    assert here.asked({second}) == [(first, b"a"), (third, b"c")]
    here.answer(1, first, b"taken")
    with pytest.raises(Conflict, match="another machine learns"):
        here.answer(0, second, b"taken")
    assert there.answers([first, second]) == {first: b"taken"}
    assert there.answers([first]) == {}
    here.answer(1, third, b"just in time")
    assert (there.withdraw(second), there.withdraw(third)) == (None, b"just in time")
    assert here.asked(()) == []


def test_only_postgresql_is_shared_through() -> None:
    with pytest.raises(UsageError, match="not sqlite"):
        database_of("sqlite:///learning.db")
    with pytest.raises(UsageError, match="expected postgresql://"):
        database_of("nowhere")
