"""Walls: the layers of the sandbox around this process, set up before anything of the model is opened.

Layers that the machine lacks are left out, loudly; with `sandbox = "required"` the process refuses to start instead.
Sockets and memory that are open already stay so: what the process answers through.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from servable.errors import EnvironmentFault
from servable.sandbox import landlock, seccomp

PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38

OOM_SCORE: Final = 500
"""When memory runs out the kernel takes a model process first, before doors and supervisor."""
OPEN_FILES: Final = 4096
THREADS: Final = 4096
FILE_BYTES: Final = 1 << 32

SYSTEM: Final = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd", "/etc/group",
    "/etc/nsswitch.conf", "/etc/ssl/certs", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/proc/version", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/osrelease", "/sys/devices/system",
    "/sys/bus/pci/devices", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage", "/dev/urandom", "/dev/random",
    "/dev/zero",
)  # fmt: skip
"""What libraries read. None of it is a secret of this machine's user."""
DEVICES: Final = ("/dev/null", "/dev/full")
GRAPHICS: Final = "nvidia"

logger = logging.getLogger("servable.process")
_stand: list[str] = []
"""The model that this process is for; none where it has no walls. A process enters them once, and never leaves."""


class Walls(msgspec.Struct, frozen=True):
    """What is left to a process, by the name of its model.

    It may read `readable` beside its own code, and write to the folder `scratch` (and `journal`: where a learner keeps
    what it learned from). `mode`: whether it may do with less than all layers, or wants none. `limit_bytes` bounds its
    memory, 0: nothing does. `spawns`: it may start programs; `listens`: it may have Unix sockets of its own.
    """

    name: str
    readable: tuple[str, ...]
    scratch: str
    journal: str = ""
    mode: Literal["auto", "required", "off"] = "auto"
    limit_bytes: int = 0
    spawns: bool = False
    listens: bool = False


def die_with_parent() -> None:
    """Called first of all: the kernel kills this process when the supervisor dies. Elsewhere than on Linux its closed
    channel ends it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def enter(walls: Walls) -> tuple[str, ...]:
    """Set up all layers there are, and name them. Raises EnvironmentFault if more are required than there are."""
    _settle(walls)
    _stand.append(walls.name)
    layers = [_limits(walls)]
    if walls.mode == "off":
        logger.warning("the model process of %s runs without a sandbox, as configured", walls.name)
        return tuple(layers)
    lacking = []
    for layer, build in (
        ("no new privileges", _no_new_privileges),
        ("landlock", lambda: _landlock(walls)),
        ("seccomp", lambda: "seccomp" if seccomp.restrict(spawns=walls.spawns, listens=walls.listens) else ""),
    ):
        try:
            built = build()
        except OSError as error:
            lacking.append(f"{layer} ({error.strerror or error})")
            continue
        if built:
            layers.append(built)
        else:
            lacking.append(layer)
    if lacking:
        told = f"this machine does not offer to the sandbox: {', '.join(lacking)}"
        if walls.mode == "required":
            raise EnvironmentFault(f'{told}; sandbox = "required" refuses to load {walls.name} without')
        logger.warning("%s: the model process of %s is less confined", told, walls.name)
    return tuple(layers)


def entered() -> bool:
    """Whether this process is one for foreign code, made to die of it."""
    return bool(_stand)


def _settle(walls: Walls) -> None:
    """Make the scratch folder the home of all that libraries write."""
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        os.environ[name] = walls.scratch
    os.environ["JOBLIB_MULTIPROCESSING"] = "0"  # it has no processes here, and would complain of that at each import
    tempfile.tempdir = walls.scratch
    os.chdir(walls.scratch)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")


def _limits(walls: Walls) -> str:
    """Limits that the process cannot raise again."""
    wanted = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: OPEN_FILES, resource.RLIMIT_FSIZE: FILE_BYTES}
    if sys.platform == "linux":
        wanted[resource.RLIMIT_NPROC] = THREADS
    if walls.limit_bytes:
        wanted[resource.RLIMIT_AS] = walls.limit_bytes
    for what, value in wanted.items():
        _, hard = resource.getrlimit(what)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (limit, limit))
    return "resource limits"


def _no_new_privileges() -> str:
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return ""
    return "no new privileges"


def _landlock(walls: Walls) -> str:
    version = landlock.restrict(
        [*_code(), *map(Path, walls.readable), *map(Path, SYSTEM), *Path("/sys/devices").glob("pci*")],
        [Path(walls.scratch), *([Path(walls.journal)] if walls.journal else []), *map(Path, DEVICES), *_graphics()],
        execute=walls.spawns,
    )
    if not version:
        return ""
    more = ", network" if version >= landlock.NETWORK_SINCE else ""
    return f"landlock {version} (files{more}{', signals' if version >= landlock.SCOPES_SINCE else ''})"


def _code() -> Iterator[Path]:
    """The interpreter, its libraries, and all that it imports from."""
    yield from map(Path, {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix})
    yield from map(Path, sysconfig.get_paths().values())
    for entry in sys.path:
        if entry:
            yield Path(entry)
            yield Path(entry).resolve()
    yield Path(__file__).resolve().parents[1]


def of_model(source: Path) -> tuple[str, ...]:
    """What the process of a model reads: a bundle's folder; of a bare file, itself and its neighbours of the same stem,
    not all that lies beside it.
    """
    beside = source.parent.glob(f"{source.stem}*") if source.is_file() else ()
    return tuple(map(str, (source, *beside)))


def _graphics() -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (path for path in Path("/dev").iterdir() if path.name.startswith(GRAPHICS))
