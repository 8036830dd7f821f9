"""Seccomp: a filter in the kernel that refuses system calls that no model needs: programs, sockets, others' processes.

The filter is a short program of classic BPF, made here: no library needed. Numbers are those of each architecture's
table (Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final

AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
SET_MODE_FILTER: Final = 1
ALL_THREADS: Final = 1

SAME: Final = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsmount": 432, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438,
    "process_madvise": 440, "mount_setattr": 442,
}  # fmt: skip
"""Calls that have one number everywhere."""
NUMBERS: Final = {
    "x86_64": SAME | {
        "socket": 41, "connect": 42, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101,
        "personality": 135, "pivot_root": 155, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165,
        "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "iopl": 172, "ioperm": 173,
        "init_module": 175, "delete_module": 176, "quotactl": 179, "tkill": 200, "rt_sigqueueinfo": 129,
        "clock_settime": 227, "tgkill": 234, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250,
        "unshare": 272, "rt_tgsigqueueinfo": 297, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "kexec_file_load": 320,
        "bpf": 321, "execveat": 322, "userfaultfd": 323,
    },
    "aarch64": SAME | {
        "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "quotactl": 60, "acct": 89, "personality": 92,
        "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106, "clock_settime": 112, "ptrace": 117,
        "kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "reboot": 142, "sethostname": 161,
        "settimeofday": 170, "socket": 198, "connect": 203, "add_key": 217, "request_key": 218, "keyctl": 219,
        "clone": 220, "execve": 221, "swapon": 224, "swapoff": 225, "rt_tgsigqueueinfo": 240, "perf_event_open": 241,
        "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
        "finit_module": 273, "bpf": 280, "execveat": 281, "userfaultfd": 282, "kexec_file_load": 294,
    },
}  # fmt: skip
SPAWNING: Final = frozenset({"fork", "vfork", "clone", "clone3", "execve", "execveat"})
SIGNALS: Final = frozenset({"kill", "tgkill"})
"""Allowed to this process itself: `abort` and `raise` use them."""
CLONE_THREAD: Final = 0x00010000
AF_UNIX: Final = 1
SOCK_STREAM: Final = 1
SOCK_KINDS: Final = 0xF
"""The bits of a socket's type that are not flags."""

LOAD: Final = 0x20
JUMP_IF_EQUAL: Final = 0x15
JUMP_IF_ANY_BIT: Final = 0x45
AND: Final = 0x54
RETURN: Final = 0x06
ALLOW: Final = 0x7FFF0000
KILL_PROCESS: Final = 0x80000000
ERRNO: Final = 0x00050000
AT_NUMBER: Final = 0
AT_ARCH: Final = 4
AT_FIRST_ARGUMENT: Final = 16
"""Its low half, on the little-endian machines that these are."""
AT_SECOND_ARGUMENT: Final = 24


def restrict(*, spawns: bool, listens: bool = False) -> bool:
    """Refuse from now on, in all threads. False where there is no filter for this machine; raises OSError.

    `spawns`: the process may start programs. Threads it always may. `listens`: it may listen on Unix sockets; it
    connects to none.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in NUMBERS:
        return False
    code = program(machine, os.getpid(), spawns=spawns, listens=listens)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    system = ctypes.CDLL(None, use_errno=True)
    if system.syscall(SECCOMP[machine], SET_MODE_FILTER, ALL_THREADS, filter_) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
    return True


def program(machine: str, pid: int, *, spawns: bool, listens: bool = False) -> bytes:
    """The filter, for a machine and a process."""
    refuse, absent = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
    code = [
        _step(LOAD, AT_ARCH),
        _step(JUMP_IF_EQUAL, AUDIT_ARCH[machine], 1, 0),
        _step(RETURN, KILL_PROCESS),
        _step(LOAD, AT_NUMBER),
    ]
    if machine == "x86_64":  # the same calls under other numbers
        code += [_step(JUMP_IF_ANY_BIT, 0x40000000, 0, 1), _step(RETURN, refuse)]
    for name, number in NUMBERS[machine].items():
        if spawns and name in SPAWNING | SIGNALS:
            continue
        match name:
            case "clone":
                code += [
                    _step(JUMP_IF_EQUAL, number, 0, 4),
                    _step(LOAD, AT_FIRST_ARGUMENT),
                    _step(JUMP_IF_ANY_BIT, CLONE_THREAD, 0, 1),
                    _step(RETURN, ALLOW),
                    _step(RETURN, refuse),
                ]
            case "socket" if listens:
                code += [
                    _step(JUMP_IF_EQUAL, number, 0, 7),
                    _step(LOAD, AT_FIRST_ARGUMENT),
                    _step(JUMP_IF_EQUAL, AF_UNIX, 0, 4),
                    _step(LOAD, AT_SECOND_ARGUMENT),
                    _step(AND, SOCK_KINDS),
                    _step(JUMP_IF_EQUAL, SOCK_STREAM, 0, 1),
                    _step(RETURN, ALLOW),
                    _step(RETURN, refuse),
                ]
            case "kill" | "tgkill":
                code += [
                    _step(JUMP_IF_EQUAL, number, 0, 4),
                    _step(LOAD, AT_FIRST_ARGUMENT),
                    _step(JUMP_IF_EQUAL, pid, 0, 1),
                    _step(RETURN, ALLOW),
                    _step(RETURN, refuse),
                ]
            case _:  # of clone3 the flags cannot be seen; without it the C library uses clone
                answer = absent if name == "clone3" else refuse
                code += [_step(JUMP_IF_EQUAL, number, 0, 1), _step(RETURN, answer)]
    code.append(_step(RETURN, ALLOW))
    return b"".join(code)


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)
