"""Landlock: from now on this thread, and those it starts, reach only the files that are named, and no network.

The kernel's own interface through three system calls; no library speaks it. Linux 5.13 and later: each version of the
interface adds rights, and we take what there is. Source: Linux, Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

CREATE_RULESET: Final = 444
ADD_RULE: Final = 445
RESTRICT_SELF: Final = 446
ASK_VERSION: Final = 1
PATH_BENEATH: Final = 1

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
FIRST: Final = (1 << 13) - 1
"""All rights of the first version."""
LATER: Final = ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
"""Rights that later versions know: to move between folders, to truncate, to control devices."""
ON_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15
"""Those that make sense for what is not a folder."""
NETWORK_SINCE: Final = 4
TCP: Final = 0b11
SCOPES_SINCE: Final = 6
SCOPES: Final = 0b11
"""Abstract Unix sockets, and signals, of processes outside."""


def version() -> int:
    """Of the kernel's interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    found: int = _system().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ASK_VERSION)
    return max(found, 0)


def restrict(readable: Iterable[Path], writable: Iterable[Path], *, execute: bool) -> int:
    """Shut all else out. Returns the version of the interface, 0 where there is none; raises OSError.

    What does not exist is left out. `execute`: programs among the readable may be started.
    """
    found = version()
    if not found:
        return 0
    rights = FIRST
    for since, right in LATER:
        rights |= right if found >= since else 0
    attributes = struct.pack(
        "=QQQ", rights, TCP if found >= NETWORK_SINCE else 0, SCOPES if found >= SCOPES_SINCE else 0
    )
    size = 8 if found < NETWORK_SINCE else 16 if found < SCOPES_SINCE else 24
    ruleset = _checked(CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    try:
        reading = READ_FILE | READ_DIR | (EXECUTE if execute else 0)
        for path in readable:
            _allow(ruleset, path, reading)
        for path in writable:
            _allow(ruleset, path, rights & ~EXECUTE)
        _checked(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return found


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore] # Linux only
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= ON_FILES
        _checked(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)


def _checked(*arguments: object) -> int:
    result: int = _system().syscall(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock: {os.strerror(number)}")
    return result


def _system() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
