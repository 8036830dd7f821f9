"""Test harness: a server of fake doors in a process of its own, and clients that keep a history of what they saw."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
SERVER = (sys.executable, str(Path(__file__).with_name("fake_server.py")))
PATIENCE_S = 30.0


def eventually(condition: Callable[[], T], what: str = "") -> T:
    """The first truthy value of `condition`, which is tried until a test has waited absurdly long."""
    give_up = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < give_up, f"never came: {what or condition}"
        time.sleep(0.01)
    return value


def get(address: tuple[str, int], path: str = "/") -> Any:
    """One request on a connection of its own, and its JSON answer. Raises OSError, or ValueError for half an answer."""
    with socket.create_connection(address, timeout=PATIENCE_S) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := sock.recv(65536):
            answer += data
    return json.loads(answer.partition(b"\r\n\r\n")[2])


class Server:
    """`python fake_server.py` with a plan. Killed at the end of the `with`, doors and all, if it still lives."""

    def __init__(
        self,
        folder: Path,
        plan: Mapping[str, str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        **settings: object,
    ) -> None:
        self.plan_file = folder / "plan.json"
        self.declare({"m": "good"} if plan is None else plan)
        self._log = folder / "log.txt"
        words = [f"{name}={value}" for name, value in settings.items()]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *SERVER, str(self.plan_file), *words],
                stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(environ or {})}, pass_fds=pass_fds,
            )  # fmt: skip
        self.http = ("", 0)
        self.grpc: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def declare(self, plan: Mapping[str, str]) -> None:
        self.plan_file.write_text(json.dumps(plan))

    def ready(self) -> Self:
        """Wait for the line that says where it listens."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log()
        addresses = json.loads(line)
        url = urlsplit(addresses["http"][0])
        self.http = (url.hostname or "", url.port or 0)
        self.grpc = addresses["grpc"]
        return self

    def get(self, path: str = "/") -> Any:
        return get(self.http, path)

    def doors(self) -> list[dict[str, Any]]:
        """What the supervisor knows of each slot, in order. Asks again if the door that was asked dies meanwhile."""
        doors: list[dict[str, Any]] = eventually(lambda: _unless_lost(lambda: self.get("/want/doors")["data"]))
        return doors

    def pids(self) -> list[int]:
        """The doors, once all are ready."""
        return [door["pid"] for door in eventually(lambda: _if(self.doors(), lambda d: all(x["ready"] for x in d)))]

    def kill_door(self, slot: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a deadly signal to a door and wait until another is ready in its place."""
        self.pids()
        door = self.doors()[slot]
        os.kill(door["pid"], number)
        eventually(lambda: self.doors()[slot]["replaced"] > door["replaced"], f"the death of door {slot}")
        self.pids()

    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        return self.process.wait(PATIENCE_S)


class Seen(NamedTuple):
    """One request of the background load: what it answered, or the error's class name."""

    answer: Any
    error: str


class Load:
    """Clients in threads, each one request after another on new connections, while the `with` lasts."""

    def __init__(self, address: tuple[str, int], clients: int = 4) -> None:
        self.history: list[Seen] = []
        self._address = address
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def errors(self) -> list[str]:
        return [seen.error for seen in self.history if seen.error]

    def further(self, count: int = 20) -> None:
        """Wait until so many more requests are answered."""
        goal = len(self.history) + count
        eventually(lambda: len(self.history) >= goal, "answers to the background load")

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.history.append(Seen(get(self._address), ""))
            except (OSError, ValueError) as error:
                self.history.append(Seen(None, type(error).__name__))
            time.sleep(0.002)


def _unless_lost(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (OSError, ValueError):
        return None


def _if(value: T, holds: Callable[[T], bool]) -> T | None:
    return value if holds(value) else None


def alive(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
