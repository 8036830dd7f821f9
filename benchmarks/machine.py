"""The machine: what it is, for the table's heading, and what a tree of processes costs on it. Linux only."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from time import sleep
from typing import Final

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
TICKS: Final = os.sysconf("SC_CLK_TCK")


def describe() -> dict[str, str]:
    """Processor, cores, memory, kernel, Python."""
    cpu = _line(Path("/proc/cpuinfo"), "model name")
    memory_gib = int(_line(Path("/proc/meminfo"), "MemTotal").split()[0]) / 1024 / 1024
    return {
        "processor": f"{cpu}, {os.cpu_count()} cores",
        "memory": f"{memory_gib:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def busy_share(seconds: float = 1.0) -> float:
    """The share of all cores that is in use now. Measure nothing while others work: it should be near 0."""
    before = _jiffies()
    sleep(seconds)
    used, idle = (after - earlier for after, earlier in zip(_jiffies(), before, strict=True))
    return used / max(used + idle, 1)


def tree(pid: int) -> list[int]:
    """The process and all its living descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in _text(task).split()]
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds used so far by the tree of processes."""
    return sum(_cpu_ticks(one) for one in tree(pid)) / TICKS


def memory_mib(pid: int) -> tuple[float, float]:
    """(RSS, PSS) of one process in MiB. PSS counts a page that n processes share as 1/n."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    return _kib(rollup, "Rss") / 1024, _kib(rollup, "Pss") / 1024


def tree_memory_mib(pid: int) -> tuple[float, float]:
    """(RSS, PSS) of the tree in MiB: only PSS is free of double counting."""
    each = [memory_mib(one) for one in tree(pid)]
    return sum(rss for rss, _ in each), sum(pss for _, pss in each)


def _jiffies() -> tuple[int, int]:
    """(used, idle) since the machine's start, of all cores together: the first line of proc(5)'s /proc/stat."""
    fields = [int(field) for field in _text(Path("/proc/stat")).partition("\n")[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, idle


def _cpu_ticks(pid: int) -> int:
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]) if fields else 0


def _kib(path: Path, key: str) -> int:
    value = _line(path, key)
    return int(value.split()[0]) if value else 0


def _line(path: Path, key: str) -> str:
    lines = (line.partition(":") for line in _text(path).splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), "")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
