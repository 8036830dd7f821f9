"""Run folders: private while they live, and cleared away after a server that was killed."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

from servable.server.supervisor.run_folder import RunFolder

KILLED = """
import os, pathlib, signal, sys
from servable.server.supervisor.run_folder import RunFolder
print(RunFolder(pathlib.Path(sys.argv[1])).path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_is_private_and_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    (folder.path / "1").mkdir()
    (folder.path / "1" / "socket").write_text("")
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_is_cleared_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    living = RunFolder(tmp_path)
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    dead = Path(subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip())
    assert dead.is_dir()
    unfinished = tmp_path / "servable-run-without-a-lock"
    unfinished.mkdir()
    third = RunFolder(tmp_path)
    assert not dead.exists()
    assert living.path.is_dir()
    assert unfinished.is_dir()
    living.remove()
    third.remove()
