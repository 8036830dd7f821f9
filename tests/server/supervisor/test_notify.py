"""Words to the service manager: over a real datagram socket, alone and from a whole server."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servable.server.supervisor.notify import Notifier
from tests.server.supervised import PATIENCE_S, Server, eventually


class Manager:
    """What systemd is to a service: listens on a datagram socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(PATIENCE_S)

    def next(self) -> str:
        """The next datagram."""
        self.heard.append(self._socket.recv(4096).decode())
        return self.heard[-1]

    def until(self, start: str) -> str:
        """The next datagram that starts so."""
        return eventually(lambda: (word := self.next()).startswith(start) and word, start) or ""

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    abstract = f"@servable-test-{os.getpid()}-{time.monotonic_ns()}"
    manager = Manager(abstract if request.param == "abstract" else str(tmp_path / "notify"))
    yield manager
    manager.close()


def test_words(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    notifier = Notifier(environ)
    assert environ == {"A": "b"}  # nothing that a child could misuse
    assert notifier.watchdog_s == 2.0
    notifier.still_starting(30)
    notifier.ready()
    notifier.status("1 of 2 doors ready")
    notifier.status("1 of 2 doors ready")
    notifier.alive()
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    notifier.stopping(31.5)
    words = [manager.next() for _ in range(6)]
    assert words[:4] == ["EXTEND_TIMEOUT_USEC=30000000", "READY=1", "STATUS=1 of 2 doors ready", "WATCHDOG=1"]
    reloading, moment = words[4].split("\n")
    assert reloading == "RELOADING=1"
    assert int(moment.removeprefix("MONOTONIC_USEC=")) >= before_us
    assert words[5] == "STOPPING=1\nEXTEND_TIMEOUT_USEC=31500000"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
        {"NOTIFY_SOCKET": "/nowhere/at/all"},
        {"NOTIFY_SOCKET": "@nobody-listens-here"},
        {"WATCHDOG_USEC": "1000000"},
    ],
)
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    notifier = Notifier(environ)
    notifier.ready()
    notifier.status("x")
    assert notifier.watchdog_s == 0.0


@pytest.mark.parametrize(
    ("pid", "usec", "watchdog_s"), [("1", "2000000", 0.0), ("", "500000", 0.5), ("", "-3", 0.0), ("", "soon", 0.0)]
)
def test_a_watchdog_meant_for_another_process_or_unreadable_is_none(pid: str, usec: str, watchdog_s: float) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_PID": pid, "WATCHDOG_USEC": usec}).watchdog_s == watchdog_s


def test_a_server_tells_its_whole_life(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"}
    with Server(tmp_path, {"m": "slow:0.8"}, workers=2, environ=environ) as server:
        assert manager.until("EXTEND_TIMEOUT_USEC=") == "EXTEND_TIMEOUT_USEC=30000000"  # loading goes on
        manager.until("READY=1")
        server.ready()
        manager.until("STATUS=2 of 2 doors ready")
        manager.until("WATCHDOG=1")
        os.kill(server.pids()[0], signal.SIGKILL)
        manager.until("STATUS=1 of 2 doors ready")
        manager.until("WATCHDOG=1")
        manager.until("STATUS=2 of 2 doors ready")
        server.signal(signal.SIGHUP)
        assert manager.until("RELOADING=1").split("\n")[1].startswith("MONOTONIC_USEC=")
        manager.until("READY=1")
        server.plan_file.write_text("{")
        server.signal(signal.SIGHUP)
        manager.until("RELOADING=1")
        manager.until("READY=1")  # refused, and serving on
        server.signal(signal.SIGTERM)
        assert manager.until("STOPPING=1") == "STOPPING=1\nEXTEND_TIMEOUT_USEC=31000000"
        assert server.ended() == 0
    assert manager.heard.count("READY=1") == 3
    manager.close()
