"""Ports: real sockets of the kernel; what is in use, not permitted or not ours; sockets passed by a service manager."""

from __future__ import annotations

import contextlib
import errno
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from servable.errors import EnvironmentFault, UsageError
from servable.server.supervisor.sockets import Listeners, open_listeners
from servable.settings import Settings
from tests.server.supervised import Load, Server

PASSING = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.closerange(4, 256)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What a service manager does between fork and exec: the socket becomes descriptor 3, the process's id is named."""


def listen(**settings: object) -> Listeners:
    ours: dict[str, object] = {"http_port": 0, "grpc_port": -1}
    return open_listeners(Settings(**{**ours, **settings}), {})  # type: ignore[arg-type]


def test_doors_have_sockets_of_their_own_on_one_port() -> None:
    listeners = listen(workers=3, grpc_port=0)
    sockets = [sock for socks in listeners.http for sock in socks]
    assert len({sock.fileno() for sock in sockets}) == 3
    ports = {sock.getsockname()[1] for sock in sockets}
    assert len(ports) == 1
    addresses = listeners.addresses()
    assert addresses.http == (f"http://127.0.0.1:{ports.pop()}",)
    sockets += [sock for socks in listeners.grpc for sock in socks]
    assert len({sock.fileno() for sock in sockets}) == 6
    assert {f"127.0.0.1:{sock.getsockname()[1]}" for socks in listeners.grpc for sock in socks} == {addresses.grpc}
    assert not any(sock.get_inheritable() for sock in sockets)
    listeners.close()
    assert all(sock.fileno() == -1 for sock in sockets)


def test_grpc_may_be_off() -> None:
    listeners = listen()
    assert (listeners.grpc, listeners.addresses().grpc) == ([[]], None)
    listeners.close()


@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6(host: str) -> None:
    listeners = listen(host=host, grpc_port=0)
    port = listeners.http[0][0].getsockname()[1]
    assert listeners.addresses().http == (f"http://[{host}]:{port}",)
    assert listeners.addresses().grpc == f"[{host}]:{listeners.grpc[0][0].getsockname()[1]}"
    socket.create_connection(("::1", port)).close()
    if host == "::":  # all addresses are all, not all of the newer kind
        socket.create_connection(("127.0.0.1", port)).close()
    listeners.close()


def test_a_name_is_bound_on_ipv4_where_it_has_both() -> None:
    listeners = listen(host="localhost")
    assert listeners.http[0][0].family == socket.AF_INET
    listeners.close()


@pytest.mark.parametrize("shares", [True, False])
def test_a_port_in_use_is_refused_even_where_the_kernel_would_share_it(shares: bool) -> None:
    with socket.socket() as other:
        if shares:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=f"127.0.0.1 port {port}: it is in use .*--http-port") as caught:
            listen(http_port=port)
        assert caught.value.exit_code == 3
        with pytest.raises(EnvironmentFault, match="--grpc-port"):
            listen(grpc_port=port)


def test_nothing_stays_open_after_a_refusal() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(EnvironmentFault):
            listen(workers=4, grpc_port=other.getsockname()[1])
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_port_that_is_given_up_meanwhile_is_taken() -> None:
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    closing = threading.Timer(0.1, other.close)
    closing.start()
    listeners = listen(http_port=port)
    closing.join()
    assert listeners.http[0][0].getsockname()[1] == port
    listeners.close()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"host": "192.0.2.1"}, "no interface of this machine has that address.*--host"),
        ({"host": "no-such-host.invalid"}, "it has no address.*--host"),
    ],
)
def test_addresses_that_cannot_be(settings: dict[str, object], says: str) -> None:
    with pytest.raises(EnvironmentFault, match=says):
        listen(**settings)


def test_a_privileged_port_is_not_permitted_to_others() -> None:
    code = """
import os, sys
from servable.errors import EnvironmentFault
from servable.server.supervisor.sockets import open_listeners
from servable.settings import Settings
floor = int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read())
if floor <= 1:
    sys.exit("not permitted: so would it be, but in this container every port is free for all")
open_listeners(Settings(http_port=0, grpc_port=-1), {}).close()
if os.getuid() == 0:
    os.setuid(65534)
try:
    open_listeners(Settings(http_port=floor - 1, grpc_port=-1), {})
except EnvironmentFault as fault:
    sys.exit(str(fault))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert "not permitted" in done.stderr


def test_one_port_cannot_be_both() -> None:
    with pytest.raises(UsageError, match="both 8080"):
        listen(http_port=8080, grpc_port=8080)


@pytest.mark.parametrize("pid", ["1", "", "x"])
def test_sockets_passed_to_another_process_are_not_ours(pid: str) -> None:
    environ = {"LISTEN_PID": pid, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http", "LISTEN_PIDFDID": "7"}
    listeners = open_listeners(Settings(http_port=0, grpc_port=-1), environ)
    assert environ == {}
    assert listeners.http[0][0].fileno() != 3
    listeners.close()


def activated(folder: Path, sock: socket.socket, **settings: object) -> Server:
    """A server that is given its socket, as by a `.socket` unit."""
    launcher = (sys.executable, "-c", PASSING, str(sock.fileno()))
    names = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": str(settings.pop("name", "servable.socket"))}
    return Server(folder, command=launcher, pass_fds=[sock.fileno()], environ=names, **settings)


def test_a_passed_socket_serves_all_doors_and_outlives_the_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
        port = sock.getsockname()[1]
        with activated(tmp_path, sock, workers=2).ready() as server, contextlib.ExitStack() as heirs:
            assert server.http == ("127.0.0.1", port)
            assert server.get()["environ"] == {}
            with Load(("127.0.0.1", port)) as load:
                load.further()
                server.signal(signal.SIGTERM)
                assert server.ended() == 0
                heirs.enter_context(activated(tmp_path, sock, workers=2)).ready()
                load.further()  # those that came between have waited
        assert load.errors() == []
        assert len({seen.answer["pid"] for seen in load.history}) > 1


def test_a_passed_grpc_socket_is_for_grpc_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock, activated(tmp_path, sock, name="grpc") as server:
        server.ready()
        assert server.grpc == f"127.0.0.1:{sock.getsockname()[1]}"
        assert server.http != sock.getsockname()
        assert server.get()["grpc"] == [sock.getsockname()[1]]


def test_doors_may_open_as_many_files_as_the_hard_limit_allows(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Server(tmp_path, command=("sh", "-c", 'ulimit -S -n 64; exec "$@"', "sh")).ready() as server:
        limits = Path(f"/proc/{server.pids()[0]}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert line.split()[3:5] == [str(hard), str(hard)]


def test_closed_to_newcomers_those_in_the_queue_are_still_served() -> None:
    listeners = listen()
    ours = listeners.http[0][0].dup()  # as a door has it
    address = ours.getsockname()
    waiting = socket.create_connection(address)
    waiting.sendall(b"hello")
    listeners.close()
    late = socket.socket()
    late.setblocking(False)
    assert late.connect_ex(address) == errno.EINPROGRESS
    accepted, _ = ours.accept()
    accepted.setblocking(True)
    assert accepted.recv(5) == b"hello"
    accepted.sendall(b"world")
    assert waiting.recv(5) == b"world"
    with pytest.raises(BlockingIOError):
        ours.accept()
    ours.close()
    select.select([], [late], [], 30)  # its second try, when nobody has the port any more
    assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    for sock in (waiting, accepted, late):
        sock.close()
