"""One suite for all logs of states, each with a real server of its kind: what is given is got, by deltas, by whoever
comes, and who has lost the lease cannot mislead anybody.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from servable.errors import Conflict, CorruptModel, EnvironmentFault, UsageError
from servable.online.fleet.bell import Bell, rings_of
from servable.online.fleet.difference import difference
from servable.online.fleet.ledger import Ledger
from servable.online.fleet.states.feed import WHOLE_EVERY, Feed
from servable.online.fleet.states.open import open_states
from servable.online.fleet.states.port import BEGIN, Log, State, Told
from servable.online.fleet.tables import database_of
from servable.stores.databases.postgresql import PostgreSQL
from tests.postgresql import postgresql
from tests.server.supervised import eventually
from tests.servers import Started, nats_server, redis_server

LARGE = 3_000_000
"""Bytes: more than a message of NATS holds."""


class Place(NamedTuple):
    """`log` opens the one of a learner, whose lease is of the epoch 1 and `named` so; `server` is where it is kept, if
    that may forget.
    """

    log: Callable[[str], Log]
    named: Callable[[str], str]
    database: PostgreSQL
    server: Started | None
    folder: Path | None = None


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSQL]:
    with postgresql() as url:
        found = database_of(url)
        yield found
        found.close()


@pytest.fixture(params=["postgresql", "redis", "nats"])
def place(request: pytest.FixtureRequest, database: PostgreSQL, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        server: Started | None = None
        if request.param == "redis":
            server = stack.enter_context(redis_server())
        elif request.param == "nats":
            server = stack.enter_context(nats_server(tmp_path))

        def named(learner: str) -> str:
            return f"{request.node.name} {learner}"

        def log(learner: str) -> Log:
            Ledger(database, named(learner), "d", "here", 600.0).take()
            found = open_states("" if server is None else server.url, database, named(learner))
            stack.callback(found.close)
            return found

        yield Place(log, named, database, server, tmp_path if request.param == "nats" else None)


def test_states_go_as_what_changed_and_now_and_then_whole(place: Place) -> None:
    log = place.log("m:1")
    here, there, late = Feed(log), Feed(place.log("m:1")), Feed(place.log("m:1"))
    assert there.fetch() is None
    state = bytearray(50_000)
    for offset in range(WHOLE_EVERY + 5):
        state[700 * offset] = 1
        here.publish(1, State(offset, offset, bytes(state)))
        if offset % 7 == 0:
            assert there.fetch() == State(offset, offset, bytes(state))
    assert there.fetch() == late.fetch() == State(offset, offset, bytes(state))
    assert there.fetch() is None
    found = [told for _, told in log.since(BEGIN)]
    assert found[0].whole
    assert len(found[0].body) == 50_000
    assert 1 < len(found) < WHOLE_EVERY
    assert all(len(told.body) < 5000 for told in found[1:])
    assert Feed(place.log("other:1")).fetch() is None


def test_a_large_state_goes_over(place: Place) -> None:
    here, there = Feed(place.log("large.one:1")), Feed(place.log("large.one:1"))
    body = bytes(range(256)) * (LARGE // 256)
    here.publish(1, State(1, 1, body))
    assert there.fetch() == State(1, 1, body)
    here.publish(1, State(2, 2, body[:-1] + b"x"))
    assert there.fetch() == State(2, 2, body[:-1] + b"x")


def test_who_goes_on_is_got_by_those_who_knew_the_one_before(place: Place) -> None:
    first, second, there = (Feed(place.log("m:1")) for _ in range(3))
    first.publish(1, State(1, 1, b"a" * 5000))
    assert there.fetch() == State(1, 1, b"a" * 5000)
    ledger = Ledger(place.database, place.named("m:1"), "d", "there", 600.0)
    ledger.release(1)
    assert ledger.take() == 2
    second.publish(2, State(5, 5, b"b" * 5000))
    with pytest.raises(Conflict, match="another machine learns"):
        first.publish(1, State(9, 9, b"c" * 5000))
    assert there.fetch() == State(5, 5, b"b" * 5000)
    second.publish(2, State(6, 6, b"b" * 4999 + b"c"))
    assert there.fetch() == State(6, 6, b"b" * 4999 + b"c")


def test_what_is_damaged_is_told_and_the_next_whole_one_is_got(place: Place) -> None:
    log = place.log("m:1")
    here, there = Feed(log), Feed(place.log("m:1"))
    here.publish(1, State(1, 1, b"a" * 5000))
    assert there.fetch() is not None
    last = log.since(BEGIN)[-1][0]
    log.put(1, Told(2, 2, False, b"no digest", difference(b"a" * 5000, b"b" * 5000)), last)
    with pytest.raises(CorruptModel, match="is damaged"):
        there.fetch()
    here.forget()
    here.publish(1, State(3, 3, b"c" * 5000))
    assert there.fetch() == State(3, 3, b"c" * 5000)


def test_a_place_that_forgot_all_is_filled_again(place: Place) -> None:
    if place.server is None:
        return  # PostgreSQL forgets nothing: it holds what this can be made from
    here, there = Feed(place.log("m:1")), Feed(place.log("m:1"))
    for offset in range(3):
        here.publish(1, State(offset, offset, b"a" * 5000 + bytes([offset])))
    assert there.fetch() == State(2, 2, b"a" * 5000 + b"\x02")
    place.server.kill()
    for act in (lambda: here.publish(1, State(3, 3, b"a" * 5001)), there.fetch):
        with pytest.raises(EnvironmentFault, match="do not go through"):
            act()
    if place.folder is not None:
        shutil.rmtree(place.folder)
    place.server.start()
    eventually(lambda: published(here, State(4, 4, b"d" * 5001)), "the server to be there again")
    assert there.fetch() == State(4, 4, b"d" * 5001)


def published(feed: Feed, state: State) -> bool:
    try:
        feed.publish(1, state)
    except EnvironmentFault:
        return False
    return True


async def test_it_rings_for_what_is_published(place: Place) -> None:
    log = place.log("m:1")
    feed, other = Feed(log), Feed(place.log("other:1"))
    feed.publish(1, State(0, 0, b"the tables are there"))
    bell = Bell([log.listen or rings_of(place.database, place.named("m:1"))])
    try:
        offset = 0
        while not bell.rung.is_set():  # it may not listen yet
            offset += 1
            await asyncio.to_thread(other.publish, 1, State(offset, offset, b"not for it"))
            await asyncio.to_thread(feed.publish, 1, State(offset, offset, b"for it"))
            await asyncio.sleep(0.05)
    finally:
        bell.close()


def test_only_these_are_known(database: PostgreSQL) -> None:
    with pytest.raises(UsageError, match=r"expected redis://… or nats://…"):
        open_states("kafka://here", database, "m:1")
