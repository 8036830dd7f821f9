"""What `servable doctor` looks at. Each examination gives findings; none changes anything, none raises.

A finding is `ok`, a `note` (something is absent or unusual, and may be meant so) or `broken` (Servable cannot work so).
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from servable.errors import ServableError
from servable.settings import Settings, misspelt
from servable.version import __version__

OLDEST_PYTHON: Final = (3, 11)
FEW_FILES: Final = 4096
"""Below this many open files a server refuses connections long before it is busy."""
LITTLE_DISK: Final = 1 << 30
LITTLE_SHARED: Final = 128 << 20
FEATURES: Final = {
    "avx2": "vectors of 8",
    "avx512f": "vectors of 16",
    "avx512_vnni": "quantised models",
    "asimd": "vectors",
}
"""What the CPU may have, and what it is good for."""


class Finding(msgspec.Struct, frozen=True):
    """What was looked at, how it is, and what to do where it is not well."""

    area: str
    what: str
    level: Literal["ok", "note", "broken"]
    said: str
    fix: str = ""


def program() -> Iterator[Finding]:
    """Ourselves, Python, the system."""
    yield Finding("program", "servable", "ok", __version__)
    for told in misspelt(os.environ):
        yield Finding("program", "environment", "note", told)
    found = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] >= OLDEST_PYTHON
    needed = ".".join(map(str, OLDEST_PYTHON))
    yield Finding("program", "python", "ok" if good else "broken", found, "" if good else f"install Python >= {needed}")
    yield Finding("program", "system", "ok", f"{platform.platform()}, {platform.machine()}")


def libraries() -> Iterator[Finding]:
    """What is installed: the required libraries, then each extra."""
    wanted: dict[str, list[str]] = {"": []}
    for line in importlib.metadata.requires("servable") or ():
        requirement, _, marker = line.partition(";")
        named = re.search(r"extra == ['\"]([^'\"]+)['\"]", marker)
        if "sys_platform" not in marker or sys.platform != "win32":
            wanted.setdefault(named[1] if named else "", []).append(requirement.strip())
    for requirement in wanted.pop(""):
        version, lack = _installed(requirement)
        fix = f"pip install '{requirement}'" if lack else ""
        yield Finding("library", _name(requirement), "broken" if lack else "ok", version or lack, fix)
    wanted.pop("all", None)
    for extra, requirements in sorted(wanted.items()):
        known = {_name(requirement): _installed(requirement) for requirement in requirements}
        lacking = [f"{name} {lack}" for name, (_, lack) in known.items() if lack]
        said = ", ".join(lacking or (f"{name} {version}" for name, (version, _) in known.items()))
        fix = f"pip install 'servable[{extra}]'" if lacking else ""
        yield Finding("extra", extra, "note" if lacking else "ok", said, fix)


def runtimes() -> Iterator[Finding]:
    """Which formats have a runtime that can be loaded."""
    from servable.runtimes.find import GROUP, runtime

    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name):
        try:
            plugin = runtime(point.name)
        except ServableError as error:
            yield Finding("format", point.name, "broken", error.message, f"reinstall what brings {point.value}")
        else:
            where = "in a process of its own" if plugin.isolated else "in the doors"
            yield Finding("format", point.name, "ok", f"{plugin.platform}, runs {where}")


def machine(settings: Settings) -> Iterator[Finding]:
    """CPU, open files, what model processes need, and the clock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    known = _cpu_flags()
    features = [f"{flag} ({use})" for flag, use in FEATURES.items() if flag in known]
    slow = bool(known) and not features
    yield Finding(
        "machine",
        "cpu",
        "note" if slow else "ok",
        f"{cores} core{'s' if cores > 1 else ''}, {', '.join(features) or 'no vector instructions known'}",
        "models run several times slower here than on a CPU with AVX2" if slow else "",
    )
    if settings.workers > cores:
        said = f"{settings.workers} doors for {cores} cores"
        yield Finding("machine", "workers", "note", said, "more doors than cores only cost memory")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    few = not unlimited and hard < FEW_FILES
    yield Finding(
        "machine",
        "open files",
        "note" if few else "ok",
        "unlimited" if unlimited else f"at most {hard}",
        "raise it: ulimit -Hn, or LimitNOFILE= of the service" if few else "",
    )
    yield from _model_processes()
    built = Path(__file__).stat().st_mtime
    late = time.time() < built
    said = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    fix = "it is before the time this program was installed: set it; keys expire and events are dated by it"
    yield Finding("machine", "clock", "note" if late else "ok", said, fix if late else "")


def _model_processes() -> Iterator[Finding]:
    """What a model that runs foreign code needs: walls around it, and memory to share with it."""
    from servable.sandbox import landlock

    walls = landlock.version()
    fix = "" if walls else 'Linux 5.13 with Landlock enabled has them; sandbox = "required" refuses to go without'
    said = f"Landlock {walls}" if walls else "this kernel has no walls around files and network"
    yield Finding("machine", "sandbox", "ok" if walls else "note", said, fix)
    shared = Path("/dev/shm")  # noqa: S108 - where Linux keeps shared memory
    if shared.is_dir():
        free = shutil.disk_usage(shared).free
        little = free < LITTLE_SHARED
        fix = "give it more (docker run --shm-size): large tensors for model processes pass there" if little else ""
        yield Finding("machine", "shared memory", "note" if little else "ok", f"{free / 2**20:.0f} MiB free", fix)


def home(settings: Settings) -> Iterator[Finding]:
    """The folder of state: may we write there, may others, is what lies there whole."""
    from servable.registry.registry import Registry
    from servable.server.access.audit import FILE, verify
    from servable.server.access.keys import Keys

    path = settings.home_path
    there = path if path.exists() else next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            "home", str(path), "broken", "cannot be written to", "choose another with --home or SERVABLE_HOME"
        )
        return
    if there is not path:
        yield Finding("home", str(path), "ok", "does not exist yet; the first act makes it")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    weak = bool(mode & (stat.S_IWGRP | stat.S_IWOTH))
    yield Finding(
        "home", str(path), "broken" if weak else "ok", f"mode {mode:04o}", f"chmod 700 {path}" if weak else ""
    )
    free = shutil.disk_usage(path).free
    little = free < LITTLE_DISK
    yield Finding(
        "home", "disk", "note" if little else "ok", f"{free / 2**30:.1f} GiB free", "make room" if little else ""
    )
    try:
        models = Registry.of(settings).catalog().living
        yield Finding(
            "home", "registry", "ok", f"{len(models)} models, {sum(len(m.living) for m in models.values())} versions"
        )
    except ServableError as error:
        yield Finding("home", "registry", "broken", error.message)
    try:
        yield Finding("home", "keys", "ok", f"{Keys(path).alive} keys")
    except ServableError as error:
        yield Finding("home", "keys", "broken", error.message)
    chain = verify(path / "log" / FILE)
    fix = "" if chain.passed else "somebody changed the audit log, or the disk did: keep a copy and look into it"
    yield Finding("home", "audit log", "ok" if chain.passed else "broken", chain.reason, fix)


def ports(settings: Settings) -> Iterator[Finding]:
    """Whether a server could listen where the settings say: it is tried, and let go."""
    from servable.server.supervisor.sockets import open_listeners

    for name, alone in (("http", {"grpc_port": -1}), ("grpc", {"http_port": 0})):
        port = settings.http_port if name == "http" else settings.grpc_port
        if port < 0:
            continue
        try:
            open_listeners(msgspec.structs.replace(settings, workers=1, **alone), {}).close()
        except ServableError as error:
            yield Finding("port", name, "note", error.message, "a running server is a good reason")
        else:
            yield Finding("port", name, "ok", f"{settings.host} port {port or 'any'} is free")


def everything(settings: Settings) -> list[Finding]:
    """All examinations, in the order of reading."""
    return [
        *program(),
        *libraries(),
        *runtimes(),
        *machine(settings),
        *home(settings),
        *ports(settings),
    ]


def _installed(requirement: str) -> tuple[str, str]:
    """The version of what is required, and what is wrong with it, if anything is."""
    try:
        version = importlib.metadata.version(_name(requirement))
    except importlib.metadata.PackageNotFoundError:
        return "", "is not installed"
    least = re.search(r">=\s*([0-9.]+)", requirement)
    if least and _numbers(version) < _numbers(least[1]):
        return "", f"is {version}, needed is >= {least[1]}"
    return version, ""


def _name(requirement: str) -> str:
    return re.split(r"[\s<>=!~\[;(]", requirement, maxsplit=1)[0]


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version, as numbers.

    >>> _numbers("1.20.0rc1"), _numbers("3.10")
    ((1, 20, 0), (3, 10))
    """
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[a-zA-Z+]", version, maxsplit=1)[0]))


def _cpu_flags() -> set[str]:
    """What Linux says the CPU can do; elsewhere nothing is known."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return set()
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()
