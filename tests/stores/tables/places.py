"""Real databases to keep tables in, each for the length of a `with`."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

_NUMBERS = count(1)


@contextlib.contextmanager
def lmdb(folder: Path) -> Iterator[str]:
    yield str(folder / "tables")


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A database of its own, on a server that is started once."""
    where = _postgresql_server()
    name = f"d{next(_NUMBERS)}"
    subprocess.run(["createdb", "-h", where, "-U", "servable", name], check=True, cwd="/tmp")
    yield f"postgresql://servable@/{name}?host={where}"


@functools.cache
def _postgresql_server() -> str:
    """The folder of the socket of Debian's PostgreSQL, which ends with this process."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
    data = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    data.chmod(0o777)
    user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if os.getuid() == 0 else []
    made = [str(binaries / "initdb"), "-D", str(data / "data"), "-U", "servable", "-A", "trust", "--no-sync"]
    subprocess.run([*user, *made], check=True, capture_output=True, cwd="/tmp")
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={data}", "-c", "fsync=off"]
    server = subprocess.Popen(
        [*user, str(binaries / "postgres"), "-D", str(data / "data"), *options],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/tmp",
    )  # fmt: skip

    def end() -> None:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(data, ignore_errors=True)

    atexit.register(end)
    while subprocess.run([str(binaries / "pg_isready"), "-h", str(data), "-q"], check=False).returncode:
        time.sleep(0.05)
    return str(data)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A server of its own, of Debian's Redis, on a socket."""
    with redis_server(folder) as (url, _):
        yield url


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The same, with its process."""
    with tempfile.TemporaryDirectory(prefix="redis") as text:
        path = f"{text}/socket"
        options = ["--port", "0", "--unixsocket", path, "--save", "", "--dir", text]
        server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        try:
            while not _listens(path):
                time.sleep(0.01)
            yield f"unix://{path}", server
        finally:
            server.kill()
            server.wait()


def _listens(path: str) -> bool:
    """A socket is there a moment before it listens."""
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(path) == 0


STORES: dict[str, Callable[[Path], Any]] = {"lmdb": lmdb, "redis": redis, "postgresql": postgresql}
"""By name: what gives a URL for an empty place."""
