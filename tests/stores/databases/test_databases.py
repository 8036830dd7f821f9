"""One suite for every database: SQLite, and a real PostgreSQL."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import sqlalchemy as sa

from servable.errors import EnvironmentFault, UsageError
from servable.registry.event import Event
from servable.registry.journal import LAYOUT, Journal
from servable.stores.databases.open import open_database
from servable.stores.databases.port import Layout
from tests.postgresql import postgresql


@pytest.fixture(scope="module")
def server():
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    whole = request.getfixturevalue("server")
    name = f"t{abs(hash(request.node.name))}"
    engine = sa.create_engine(
        sa.make_url(whole).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return whole.replace("/postgres?", f"/{name}?")


@pytest.fixture
def journal(url) -> Journal:
    return Journal.at(url, Path("unused"))


def event(version: int) -> Event:
    return Event(0, 1.5, "ada", "registered", "churn", version, digest="d", detail={"format": "onnx"})


def test_nothing_is_there_before_the_first_write(journal):
    assert journal.read() == []


def test_what_is_appended_is_read_in_order(journal, url):
    journal.append([event(1), event(2)])
    journal.append([event(3)])
    assert [(e.seq, e.version, e.detail) for e in Journal.at(url, Path("x")).read(since=2)] == [
        (2, 2, {"format": "onnx"}),
        (3, 3, {"format": "onnx"}),
    ]


def test_a_write_that_fails_leaves_nothing(journal):
    journal.append([event(1)])
    broken = Event(0, 1.5, None, "registered", "churn", 3)
    with pytest.raises(EnvironmentFault, match="cannot write the registry"):
        journal.append([event(2), broken])
    assert [e.version for e in journal.read()] == [1]


@pytest.mark.parametrize("act", ["UPDATE events SET who = 'eve'", "DELETE FROM events"])
def test_history_cannot_be_rewritten(journal, act):
    journal.append([event(1)])
    with pytest.raises(EnvironmentFault, match="events are only added"), journal.database.write() as connection:
        connection.exec_driver_sql(act)
    assert [e.who for e in journal.read()] == ["ada"]


def test_a_newer_schema_is_not_guessed_at(journal, url):
    journal.append([event(1)])
    newer = open_database(url, LAYOUT._replace(schema=9), Path("x"))
    with newer.write():
        pass
    with pytest.raises(EnvironmentFault, match="schema 9, this program reads up to 2"):
        journal.read()


def test_an_older_schema_is_read_and_then_upgraded(url):
    tables = sa.MetaData()
    columns = [column for column in LAYOUT.tables.tables["events"].columns if column.name != "body"]
    sa.Table("events", tables, *(sa.Column(each.name, each.type, primary_key=each.primary_key) for each in columns))
    old = open_database(url, Layout("the registry", 1, tables, {}, ("events",)), Path("x"))
    with old.write() as connection:
        connection.execute(
            tables.tables["events"]
            .insert()
            .values(time=1.0, who="ada", kind="registered", name="churn", version=1, digest="d", detail="{}", alias="")
        )
    journal = Journal.at(url, Path("x"))
    assert [e.who for e in journal.read()] == ["ada"]
    journal.append([Event(0, 2.0, "eve", "judged", "churn", 1, detail={"source": "gate"}, body=[7])])
    assert [e.body for e in journal.bodies("churn", "judged")] == [[7]]


def _count(url: str, times: int) -> None:
    """Add one to the highest version, under the lock."""
    journal = Journal.at(url, Path("x"))
    for _ in range(times):
        with journal.hold():
            journal.append([event(1 + max((e.version for e in journal.read()), default=0))])


def test_who_holds_it_is_alone(url):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(url, 5)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert {process.exitcode for process in processes} == {0}
    assert [e.version for e in Journal.at(url, Path("x")).read()] == list(range(1, 16))


def _hold_and_die(url: str) -> None:
    with Journal.at(url, Path("x")).hold():
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_dead_hold_nothing(url, journal):
    process = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(url,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with journal.hold():
        journal.append([event(1)])


def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path):
    journal = Journal.at(f"postgresql://ada:secret@/none?host={tmp_path}", Path("x"))
    with pytest.raises(EnvironmentFault, match="see that the server runs and lets us in") as caught:
        journal.read()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://here/x", "postgres", "sqlite://", "://"])
def test_other_databases_are_refused(url):
    with pytest.raises(UsageError, match="expected postgresql://USER@HOST/NAME or sqlite:///PATH"):
        open_database(url, LAYOUT, Path("x"))
