"""Lease: one server a home. Held by the supervisor as long as it lives, taken back from the dead by the kernel.

Two servers on one home would follow the same registry with different ports, and write the same journals and tables.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from servable.errors import EnvironmentFault

FILE: Final = "server.lock"

logger = logging.getLogger("servable.supervisor")


class Holder(msgspec.Struct):
    """Who holds it, as written in the file for whoever comes second."""

    pid: int
    host: str
    http_port: int


@contextlib.contextmanager
def lease(home: Path, host: str, http_port: int) -> Iterator[None]:
    """Hold the home. Raises EnvironmentFault that names the process that does, and what to do.

    A home that cannot be written (a container's read-only image) holds no state to be fought over: nothing is held.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(home / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        logger.info("the home %s is not held: %s", home, error.strerror)
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EnvironmentFault(_told(home, os.pread(handle, 4096, 0))) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, msgspec.json.encode(Holder(os.getpid(), host, http_port)) + b"\n", 0)
        yield
    finally:
        os.close(handle)


def _told(home: Path, written: bytes) -> str:
    try:
        held = msgspec.json.decode(written, type=Holder)
        who, stop = f"process {held.pid}, on {held.host}:{held.http_port}", f"stop that one  (kill {held.pid})"
    except msgspec.MsgspecError:  # it has only just taken it
        who, stop = "another process", "stop that one"
    return (
        f"a server runs on {home} already ({who}). It follows the registry by itself: what you promote, it "
        f"serves. To run this one instead, {stop}; to run both, give each a home:  --home DIR"
    )
