"""A server under test: started on one core, waited for until it gives a right answer, stopped with all its children."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

from benchmarks.case import WrongAnswer
from benchmarks.machine import SERVER_CORE, tree
from benchmarks.traffic import HOST, Refused, Traffic

POLL_S = 0.002
STOP_S = 10.0


@dataclass(frozen=True)
class Process:
    """A running server: the id of its first process, and what it wrote."""

    pid: int
    log: Path
    started_s: float


@contextlib.contextmanager
def started(command: Sequence[str], env: Mapping[str, str], log: Path, folder: Path) -> Iterator[Process]:
    """Run a command on the server's core, in its own session; stop it and its children at the end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with log.open("wb") as out:
        begun = perf_counter()
        child = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *command],
            cwd=folder,
            env={**os.environ, **one_thread, **env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Process(child.pid, log, begun)
    finally:
        _stop(child)


def first_answer_s(process: Process, traffic: Traffic, timeout_s: float = 120.0) -> float:
    """Seconds from the start of the process to its first right answer. Raises NotServing if it never comes."""
    problem: Exception | None = None
    while (spent := perf_counter() - process.started_s) < timeout_s:
        try:
            ask(traffic)
        except (OSError, http.client.HTTPException, Refused) as error:
            problem = error
        except WrongAnswer:
            raise
        else:
            return perf_counter() - process.started_s
        if not Path(f"/proc/{process.pid}").exists() or _zombie(process.pid):
            raise NotServing(f"the server ended after {spent:.1f} s; {tail(process.log)}")
        sleep(POLL_S)
    raise NotServing(f"no right answer within {timeout_s:.0f} s, last: {problem!r}; {tail(process.log)}")


def ask(traffic: Traffic, index: int = 0) -> None:
    """One request on a connection of its own, judged."""
    with contextlib.closing(socket.create_connection((HOST, traffic.port), timeout=10)) as one:
        one.sendall(traffic.requests[index])
        response = http.client.HTTPResponse(one, method="POST")
        response.begin()
        body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        traffic.judge(index, response.status, headers, body)


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def tail(log: Path, characters: int = 600) -> str:
    """The last words of a server."""
    return f"its log ends: {log.read_text(errors='replace')[-characters:]}"


def _zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask, wait, then kill the session and whatever left it."""
    everyone = tree(child.pid)
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    for pid in everyone[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    child.wait()


class NotServing(Exception):
    """A server that ended, or never answered rightly."""
