"""Registers a bundle again and again, killed each time before a later system call: `crash.py HOME OLD NEW [STEP]`.

HOME is a folder for many homes. In each, OLD is registered; then a child process begins to register NEW under ptrace,
and is killed before its n-th system call, which is then never made. One line of output for each n: the versions that a
reader finds, the hidden folders left, and the versions and hidden folders after NEW is registered once more. With STEP,
every so many calls only.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

from servable.bundles.open import open_bundle
from servable.domain.ref import Ref
from servable.registry.registry import Registry
from servable.registry.storage import INCOMING

TRACEME, SYSCALL, SETOPTIONS = 0, 24, 0x4200
GOOD, EXITKILL = 1, 0x100000
"""Linux's own numbers (sys/ptrace.h): stops at system calls are marked, and the child dies with us."""
SYSCALL_STOP = signal.SIGTRAP | 0x80

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request: int, pid: int, data: int = 0) -> None:
    if _libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def killed_before(call: int, home: Path, folder: Path) -> bool:
    """Whether a child that registers `folder` met its end before this system call, rather than reach its own."""
    child = os.fork()
    if child == 0:
        ptrace(TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        Registry(home).register(folder)
        os._exit(0)
    os.waitpid(child, 0)
    ptrace(SETOPTIONS, child, GOOD | EXITKILL)
    stops = deliver = 0
    while True:
        ptrace(SYSCALL, child, deliver)
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            assert os.WIFEXITED(status), status
            assert os.WEXITSTATUS(status) == 0
            return False
        stopped = os.WSTOPSIG(status)
        deliver = 0 if stopped == SYSCALL_STOP else stopped
        stops += stopped == SYSCALL_STOP
        if stops == 2 * call - 1:  # each call stops twice: before it, and after
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return True


def main(homes: Path, old: Path, new: Path, step: int = 1) -> None:
    template = homes / "template"
    Registry(template).register(old)
    Registry(homes / "warm").register(new)  # whatever is imported or opened once is, before the first child
    for call in count(1, step):
        home = homes / str(call)
        shutil.copytree(template, home)
        killed = killed_before(call, home, new)
        found = Registry(home).catalog().model("scaler").living
        for version in found:
            open_bundle(home / "bundles" / version.digest)
        hidden = len(list((home / "bundles").glob(f"{INCOMING}*")))
        again = Registry(home).register(new)
        after = Registry(home).catalog().model("scaler").living
        Registry(home).open(Ref("scaler", again.version))
        swept = len(list((home / "bundles").glob(f"{INCOMING}*")))
        print(len(found), hidden, [version.version for version in after], swept, flush=True)
        shutil.rmtree(home)
        if not killed:
            return


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:]))
