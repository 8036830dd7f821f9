from __future__ import annotations

import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from servable.errors import EnvironmentFault
from servable.registry.event import Event
from servable.registry.journal import Journal


def at(path: Path) -> Journal:
    return Journal.at("", path)


def path_of(journal: Journal) -> Path:
    return Path(journal.database.place)


def event(version: int) -> Event:
    return Event(0, 1.5, "ada", "registered", "churn", version, digest="d", detail={"format": "onnx"})


def test_what_is_appended_is_read_in_order(tmp_path):
    journal = at(tmp_path / "registry.db")
    assert journal.read() == []
    assert not path_of(journal).exists()
    journal.append([event(1), event(2)])
    journal.append([event(3)])
    read = at(path_of(journal)).read()
    assert [(e.seq, e.version) for e in read] == [(1, 1), (2, 2), (3, 3)]
    assert read[0].detail == {"format": "onnx"}
    assert at(path_of(journal)).read("other") == []


def test_the_file_is_private(tmp_path):
    before = os.umask(0)
    try:
        at(tmp_path / "home" / "registry.db").append([event(1)])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "home" / "registry.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_a_file_that_others_may_write_is_refused(tmp_path):
    journal = at(tmp_path / "registry.db")
    journal.append([event(1)])
    path_of(journal).chmod(0o666)
    with pytest.raises(EnvironmentFault, match=r"chmod go-w"):
        journal.read()
    with pytest.raises(EnvironmentFault, match=r"chmod go-w"):
        journal.append([event(2)])


@pytest.mark.parametrize("act", ["UPDATE events SET who = 'eve'", "DELETE FROM events"])
def test_history_cannot_be_rewritten(tmp_path, act):
    journal = at(tmp_path / "registry.db")
    journal.append([event(1)])
    with sqlite3.connect(path_of(journal)) as connection, pytest.raises(sqlite3.IntegrityError, match="only added"):
        connection.execute(act)
    connection.close()


def test_a_newer_layout_is_not_guessed_at(tmp_path):
    journal = at(tmp_path / "registry.db")
    journal.append([event(1)])
    with sqlite3.connect(path_of(journal)) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(EnvironmentFault, match=r"schema 9, this program reads up to 2"):
        journal.read()


def test_a_file_that_is_no_registry_is_told(tmp_path):
    journal = at(tmp_path / "registry.db")
    path_of(journal).write_text("this is a letter to my aunt" * 100)
    path_of(journal).chmod(0o600)
    with pytest.raises(EnvironmentFault, match=r"cannot read the registry .*registry\.db: file is not a database"):
        journal.read()


def test_a_writer_waits_for_another(tmp_path):
    """A process in the middle of its transaction holds the file; the append comes through when that one ends."""
    journal = at(tmp_path / "registry.db")
    journal.append([event(1)])
    code = (
        "import sqlite3,sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE');"
        "print('held', flush=True); sys.stdin.readline(); c.execute('ROLLBACK')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path_of(journal))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "held\n"
        other = subprocess.Popen([sys.executable, "-c", _APPEND, str(path_of(journal))])
        assert [e.version for e in journal.read()] == [1]  # readers are not kept waiting
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert other.wait(60) == 0
    assert [e.version for e in journal.read()] == [1, 7]


_APPEND = """
import sys
from pathlib import Path
from servable.registry.event import Event
from servable.registry.journal import Journal
Journal.at("", Path(sys.argv[1])).append([Event(0, 1.5, "ada", "registered", "churn", 7)])
"""


def test_a_full_disk_acknowledges_nothing(tmp_path):
    """A process that may write no byte more: the append is refused with a reason, and the events stand as they were."""
    journal = at(tmp_path / "registry.db")
    journal.append([event(1)])

    def no_more() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = subprocess.run(
        [sys.executable, "-c", _APPEND, str(path_of(journal))],
        preexec_fn=no_more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "EnvironmentFault: cannot write the registry" in done.stderr
    assert [e.version for e in at(path_of(journal)).read()] == [1]


def test_bodies_are_read_for_themselves(tmp_path):
    journal = at(tmp_path / "registry.db")
    journal.append([event(1), Event(0, 1.5, "ada", "judged", "churn", 1, detail={"source": "gate"}, body=[{"a": 1}])])
    assert [e.body for e in journal.read()] == [[], []]
    assert [e.body for e in journal.bodies("churn", "judged")] == [[{"a": 1}]]
    assert [e.seq for e in journal.read(since=2)] == [2]


def test_a_file_of_schema_1_is_read_as_it_is_and_upgraded_by_the_first_write(tmp_path):
    path = tmp_path / "registry.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(_SCHEMA_1)
    connection.close()
    path.chmod(0o600)
    journal = at(path)
    assert [(e.kind, e.version, e.detail) for e in journal.read()] == [("registered", 1, {"format": "onnx"})]
    assert journal.bodies("churn", "judged") == []
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    journal.append([Event(0, 2.0, "eve", "judged", "churn", 1, detail={"source": "gate"}, body=[1])])
    assert [(e.seq, e.who) for e in journal.read()] == [(1, "ada"), (2, "eve")]
    assert journal.bodies("churn", "judged")[0].body == [1]


_SCHEMA_1 = """
CREATE TABLE events (seq INTEGER NOT NULL, time FLOAT NOT NULL, who TEXT NOT NULL, kind TEXT NOT NULL,
  name TEXT NOT NULL, version INTEGER NOT NULL, alias TEXT NOT NULL, digest TEXT NOT NULL, detail JSON NOT NULL,
  PRIMARY KEY (seq));
CREATE INDEX ix_events_name ON events (name);
CREATE TRIGGER no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
INSERT INTO events VALUES (1, 1.5, 'ada', 'registered', 'churn', 1, '', 'd1', '{"format": "onnx"}');
PRAGMA user_version = 1;
"""
