from __future__ import annotations

import multiprocessing
import os
import signal
import stat

import pytest

from servable.errors import EnvironmentFault
from servable.server.supervisor.lease import FILE, lease


def test_the_second_is_told_who_was_first_and_what_to_do(tmp_path):
    home = tmp_path / "home"
    with lease(home, "127.0.0.1", 8080), pytest.raises(EnvironmentFault) as caught, lease(home, "127.0.0.1", 8090):
        pass
    assert f"process {os.getpid()}, on 127.0.0.1:8080" in caught.value.message
    assert f"kill {os.getpid()}" in caught.value.message
    assert "--home DIR" in caught.value.message
    with lease(home, "127.0.0.1", 8090):
        assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600


def _hold_and_die(home) -> None:
    with lease(home, "127.0.0.1", 8080):
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_dead_hold_nothing(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with lease(tmp_path, "127.0.0.1", 8080):
        pass


def test_a_home_that_cannot_be_written_keeps_no_server_from_starting(tmp_path):
    (tmp_path / "file").write_text("")
    with lease(tmp_path / "file" / "home", "127.0.0.1", 8080):
        pass
