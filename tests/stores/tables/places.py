"""Real databases to keep tables in, each for the length of a `with`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def lmdb(folder: Path) -> Iterator[str]:
    yield str(folder / "tables")


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A server of its own, of Debian's PostgreSQL, on a socket in the folder."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
    folder.mkdir()
    folder.chmod(0o777)
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as text:
        data = Path(text)
        data.chmod(0o777)
        made = [str(binaries / "initdb"), "-D", str(data / "data"), "-U", "servable", "-A", "trust", "--no-sync"]
        user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if os.getuid() == 0 else []
        subprocess.run([*user, *made], check=True, capture_output=True, cwd="/tmp")
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={data}", "-c", "fsync=off"]
        server = subprocess.Popen(
            [*user, str(binaries / "postgres"), "-D", str(data / "data"), *options],
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/tmp",
        )  # fmt: skip
        try:
            ready = [str(binaries / "pg_isready"), "-h", str(data), "-q"]
            while subprocess.run(ready, check=False).returncode:
                time.sleep(0.05)
            yield f"postgresql://servable@/postgres?host={data}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


STORES: dict[str, Callable[[Path], Any]] = {"lmdb": lmdb}
"""By name: what gives a URL for an empty place."""
