"""Real servers for tests, of Debian and of a wheel, each on a free port of this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.supervised import eventually


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Started:
    """A server that can be killed and started again, with what it had on the disk."""

    def __init__(self, url: str, port: int, command: list[str]) -> None:
        self.url = url
        self._port = port
        self._command = command
        if shutil.which(command[0]) is None:
            pytest.fail(f"no {command[0]} here: run  make venv, or  apt-get install {Path(command[0]).name}")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._answers, f"{self._command[0]} to listen")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
            return True
        return False


@contextlib.contextmanager
def redis_server() -> Iterator[Started]:
    """It keeps nothing: what is killed is empty afterwards."""
    port = free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = Started(f"redis://127.0.0.1:{port}/0", port, ["redis-server", *words])
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def nats_server(folder: Path) -> Iterator[Started]:
    """With JetStream, in this folder."""
    port = free_port()
    words = ["-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]
    server = Started(f"nats://127.0.0.1:{port}", port, ["nats-server", *words])
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def kafka_server(folder: Path) -> Iterator[Started]:
    """noida-db, which speaks Kafka's protocol, with groups, transactions and fencing. Its `url` is host:port."""
    found = importlib.util.find_spec("noida_db")
    if found is None or found.origin is None:
        pytest.fail("no server that speaks Kafka's protocol is here: pip install noida-db==0.2.3 (Linux on x86-64)")
    port = free_port()
    words = ["start", "--data-dir", str(folder), "--only", "kafka", "--kafka-port", str(port)]
    server = Started(f"127.0.0.1:{port}", port, [str(Path(found.origin).with_name("noida-db")), *words])
    try:
        yield server
    finally:
        server.kill()
