"""The ports: opened once by the supervisor, before any door, and kept open over the death of doors.

Linux: each door has its own listening socket on the one HTTP port, and on the one gRPC port (SO_REUSEPORT), so the
kernel spreads connections, and those that come while a door is being replaced wait in its queue. Elsewhere, and when
the service manager passes sockets (one for gRPC is named `grpc`), all doors accept from the same ones.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import socket
import struct
import sys
import time
from collections.abc import MutableMapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from servable.errors import EnvironmentFault, UsageError
from servable.settings import Settings

BACKLOG: Final = 4096
"""Connections that may wait to be accepted; the kernel lowers it to its own limit (net.core.somaxconn)."""

FIRST_PASSED_FD: Final = 3
"""The service manager passes sockets from here on. Source: sd_listen_fds(3)."""

SO_ATTACH_FILTER: Final = 26
DROP_SYN: Final = (
    (0x30, 0, 0, 13),  # load the byte of the TCP header that holds its flags
    (0x45, 0, 1, 0x02),  # is SYN among them?
    (0x06, 0, 0, 0),  # yes: drop
    (0x06, 0, 0, 0xFFFF_FFFF),  # no: pass
)
"""A packet filter (classic BPF): code, jump if true, jump if false, operand."""

BUSY_RETRY_S: Final = 0.5
"""A port in use is tried for this long: the doors of a server that was just killed may take a moment to die."""


class Addresses(msgspec.Struct, frozen=True):
    """Where the server is reached: URLs for HTTP, `host:port` for gRPC, None when it is off."""

    http: tuple[str, ...]
    grpc: str | None


class Listeners:
    """`http[slot]` and `grpc[slot]` are the sockets of that door; those for gRPC are none where it is off."""

    def __init__(
        self, http: list[list[socket.socket]], grpc: list[list[socket.socket]], passed: AbstractSet[socket.socket]
    ) -> None:
        self.http = http
        self.grpc = grpc
        self._passed = passed

    def addresses(self) -> Addresses:
        """Where a client should turn to."""
        http = tuple(f"http://{_name(sock)}" for sock in self.http[0])
        return Addresses(http, _name(self.grpc[0][0]) if self.grpc[0] else None)

    def close(self) -> None:
        """Let no new connection in and close this process's copies; the doors still take those that wait.

        Passed sockets go on queueing: the service manager keeps them for our heirs.
        """
        for sock in {sock for socks in (*self.http, *self.grpc) for sock in socks}:
            if sock not in self._passed and sock.fileno() >= 0:
                _ignore_newcomers(sock)
            sock.close()


def open_listeners(settings: Settings, environ: MutableMapping[str, str] | None = None) -> Listeners:
    """Bind what the settings ask for, or take what the service manager passed.

    Raises EnvironmentFault that names the address and what to do: in use, not permitted, not of this machine.
    """
    passed = passed_sockets(os.environ if environ is None else environ)
    if not passed and settings.http_port == settings.grpc_port != 0:
        raise UsageError(f"http_port and grpc_port are both {settings.http_port}: give them different ports, or 0")
    opened: list[socket.socket] = [sock for _, sock in passed]
    of_doors: list[list[list[socket.socket]]] = []
    try:
        for port, flag in ((settings.http_port, "--http-port"), (settings.grpc_port, "--grpc-port")):
            ours = [sock for name, sock in passed if (name == "grpc") == (flag == "--grpc-port")]
            if ours or port < 0:
                of_doors.append([ours] * settings.workers)
            else:
                own = _sockets(settings, port, flag)
                of_doors.append([[sock] for sock in own])
                opened += own
        http, grpc = of_doors
        return Listeners(http, grpc, {sock for _, sock in passed})
    except BaseException:
        for sock in opened:
            sock.close()
        raise


def passed_sockets(environ: MutableMapping[str, str]) -> list[tuple[str, socket.socket]]:
    """Sockets from the service manager with their names; its variables are taken out of `environ`."""
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    count = environ.pop("LISTEN_FDS", "")
    pid = environ.pop("LISTEN_PID", "")
    environ.pop("LISTEN_PIDFDID", None)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return []
    sockets = []
    for number in range(int(count)):
        sock = socket.socket(fileno=FIRST_PASSED_FD + number)
        sock.set_inheritable(False)
        sockets.append((names[number] if number < len(names) else "", sock))
    return sockets


def raise_file_limit() -> None:
    """Let this process and its doors open as many files (connections) as the hard limit allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS says "unlimited" and means less
        return


def _ignore_newcomers(sock: socket.socket) -> None:
    """Make the kernel drop what asks this socket for a connection; it hears a refusal, or our heir, a second later.

    A listening socket cannot say "no more": closing it resets all that wait in its queue. With newcomers held off, the
    queue can be emptied first. The filter holds for every process that has the socket. Source: socket(7).
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in DROP_SYN))
        fprog = struct.pack("HP", len(DROP_SYN), ctypes.addressof(program))
        with contextlib.suppress(OSError):  # forbidden here: then those in the queue at the very end are reset
            sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)


def _sockets(settings: Settings, port: int, flag: str) -> list[socket.socket]:
    """One listening socket a door; elsewhere than on Linux one for all, which doors race to accept from."""
    family, host = _resolve(settings.host, port)
    if sys.platform != "linux":
        sock = _bind(family, host, port, flag, shared=False)
        sock.listen(BACKLOG)
        return [sock] * settings.workers
    _check_free(family, host, port, flag)
    sockets: list[socket.socket] = []
    for _ in range(settings.workers):
        sock = _bind(family, host, port, flag, shared=True)
        sockets.append(sock)
        sock.listen(BACKLOG)
        port = sock.getsockname()[1]
    return sockets


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """The address to bind for a host's name; IPv4 where a name has both, as clients try both."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise EnvironmentFault(f"cannot listen on host {host!r}: it has no address ({error}); see --host") from error
    family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, str(address[0])


def _check_free(family: socket.AddressFamily, host: str, port: int, flag: str) -> None:
    """Fail if anybody listens there: two servers of one user would otherwise share port and requests, unnoticed."""
    if port == 0:
        return
    give_up = time.monotonic() + BUSY_RETRY_S
    while True:
        try:
            _bind(family, host, port, flag, shared=False).close()
        except EnvironmentFault as fault:
            busy = isinstance(fault.__cause__, OSError) and fault.__cause__.errno == errno.EADDRINUSE
            if not busy or time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return


def _bind(family: socket.AddressFamily, host: str, port: int, flag: str, *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))  # "::" means all, IPv4 too
        sock.setblocking(False)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise EnvironmentFault(_why(error, host, port, flag)) from error
    return sock


def _why(error: OSError, host: str, port: int, flag: str) -> str:
    """What keeps us from this port, and what to do."""
    where = f"cannot listen on {host} port {port}: "
    if error.errno == errno.EADDRINUSE:
        return where + f"it is in use (by whom: ss -ltnp 'sport = :{port}'); stop that program, or choose with {flag}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return where + f"not permitted (ports below 1024 need privileges); choose another with {flag}"
    if error.errno == errno.EADDRNOTAVAIL:
        return where + "no interface of this machine has that address; choose another with --host"
    return where + (error.strerror or str(error))


def _name(sock: socket.socket) -> str:
    """`host:port` of a bound socket, or the path of a Unix socket."""
    address = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{address}"
    host = f"[{address[0]}]" if sock.family == socket.AF_INET6 else address[0]
    return f"{host}:{address[1]}"
