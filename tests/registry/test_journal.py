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


def event(version: int) -> Event:
    return Event(0, 1.5, "ada", "registered", "churn", version, digest="d", detail={"format": "onnx"})


def test_what_is_appended_is_read_in_order(tmp_path):
    journal = Journal(tmp_path / "registry.db")
    assert journal.read() == []
    assert not journal.path.exists()
    journal.append([event(1), event(2)])
    journal.append([event(3)])
    read = Journal(journal.path).read()
    assert [(e.seq, e.version) for e in read] == [(1, 1), (2, 2), (3, 3)]
    assert read[0].detail == {"format": "onnx"}
    assert Journal(journal.path).read("other") == []


def test_the_file_is_private(tmp_path):
    before = os.umask(0)
    try:
        Journal(tmp_path / "home" / "registry.db").append([event(1)])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "home" / "registry.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_a_file_that_others_may_write_is_refused(tmp_path):
    journal = Journal(tmp_path / "registry.db")
    journal.append([event(1)])
    journal.path.chmod(0o666)
    with pytest.raises(EnvironmentFault, match=r"chmod go-w"):
        journal.read()
    with pytest.raises(EnvironmentFault, match=r"chmod go-w"):
        journal.append([event(2)])


@pytest.mark.parametrize("act", ["UPDATE events SET who = 'eve'", "DELETE FROM events"])
def test_history_cannot_be_rewritten(tmp_path, act):
    journal = Journal(tmp_path / "registry.db")
    journal.append([event(1)])
    with sqlite3.connect(journal.path) as connection, pytest.raises(sqlite3.IntegrityError, match="only added"):
        connection.execute(act)
    connection.close()


def test_a_newer_layout_is_not_guessed_at(tmp_path):
    journal = Journal(tmp_path / "registry.db")
    journal.append([event(1)])
    with sqlite3.connect(journal.path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(EnvironmentFault, match=r"schema 9, this program reads up to 1"):
        journal.read()


def test_a_file_that_is_no_registry_is_told(tmp_path):
    journal = Journal(tmp_path / "registry.db")
    journal.path.write_text("this is a letter to my aunt" * 100)
    journal.path.chmod(0o600)
    with pytest.raises(EnvironmentFault, match=r"cannot read the registry .*registry\.db: file is not a database"):
        journal.read()


def test_a_writer_waits_for_another(tmp_path):
    """A process in the middle of its transaction holds the file; the append comes through when that one ends."""
    journal = Journal(tmp_path / "registry.db")
    journal.append([event(1)])
    code = (
        "import sqlite3,sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE');"
        "print('held', flush=True); sys.stdin.readline(); c.execute('ROLLBACK')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(journal.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "held\n"
        other = subprocess.Popen([sys.executable, "-c", _APPEND, str(journal.path)])
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
Journal(Path(sys.argv[1])).append([Event(0, 1.5, "ada", "registered", "churn", 7)])
"""


def test_a_full_disk_acknowledges_nothing(tmp_path):
    """A process that may write no byte more: the append is refused with a reason, and the events stand as they were."""
    journal = Journal(tmp_path / "registry.db")
    journal.append([event(1)])

    def no_more() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = subprocess.run(
        [sys.executable, "-c", _APPEND, str(journal.path)],
        preexec_fn=no_more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "EnvironmentFault: cannot write the registry" in done.stderr
    assert [e.version for e in Journal(Path(journal.path)).read()] == [1]
