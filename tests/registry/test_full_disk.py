from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packed import bundle_at

FULL = Path(__file__).with_name("full.py")
MOUNT = """mount -t tmpfs -o size=2m tmpfs "$1" && exec "$2" "$3" "$1" "$4" "$5" disk"""


def _check(said: str) -> None:
    """Refused while there is too little room, with the old state; done when there is enough; and never a broken end."""
    rows = [line.split() for line in said.splitlines()]
    assert len(rows) == 6
    assert rows[0] == ["refused", "1", "0", "2"]
    assert rows[-1] == ["done", "2", "0", "2"]
    assert {(row[0], row[1]) for row in rows} == {("refused", "1"), ("done", "2")}
    assert {(row[2], row[3]) for row in rows} == {("0", "2")}


def test_a_registration_without_room_is_refused_and_changes_nothing(tmp_path):
    old, new = bundle_at(tmp_path / "old", factor=1), bundle_at(tmp_path / "new", factor=2)
    words = [sys.executable, str(FULL), str(tmp_path / "homes"), str(old), str(new)]
    _check(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.faults
def test_a_full_file_system_is_met_the_same(tmp_path):
    """A small file system in memory, in a name space of its own."""
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    old, new = bundle_at(tmp_path / "old", factor=1), bundle_at(tmp_path / "new", factor=2)
    (tmp_path / "disk").mkdir()
    words = ["unshare", "-rm", "sh", "-c", MOUNT, "sh", tmp_path / "disk", sys.executable, FULL, old, new]
    _check(subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True).stdout)
