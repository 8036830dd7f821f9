"""A server that learns, for the benchmarks: the door on one core, the learner's process on the other, and who feeds it.

The generator shares the learner's core: it needs little of it, for its requests are ready bytes.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, Final

import numpy as np

from benchmarks.machine import LOAD_CORE, tree
from benchmarks.ours import SERVABLE
from benchmarks.process import free_port, started, tail
from benchmarks.traffic import HOST, Traffic, raw
from servable.domain.batch import Array, Batch
from servable.online import messages
from servable.online.event import column, columns
from servable.wire.frames import HEADER

WIDTH: Final = 30
DISTINCT: Final = 64
PATH: Final = "/v2/models/learner"
PATIENCE_S: Final = 300.0
SPIN: Final = "n = [float(x) for x in range(1000)]\nwhile True:\n    sum(map(abs, n))"
FTRL: Final = json.dumps({"learner": "ftrl", "inputs": {"x": f"FP64 [-1, {WIDTH}]"}, "classes": [0, 1]})


def stream(rows: int, width: int = WIDTH, seed: int = 0) -> tuple[Array, Array]:
    """Rows and their outcomes: a noisy rule that any linear learner finds."""
    source = np.random.default_rng(seed)
    x = source.normal(size=(rows, width)).round(6)
    return x, (x @ source.normal(size=width) + source.normal(size=rows) > 0).astype(np.int64)


@dataclass(frozen=True)
class Learning:
    """A running server of one learner."""

    port: int
    door: int
    learner: int
    server: int = 0
    """The process that the others are children of."""

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """One request, and the JSON of its answer. Raises ValueError for a status of an error."""
        with contextlib.closing(http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_S)) as connection:
            connection.request(method, PATH + path, None if document is None else json.dumps(document))
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 400:
            raise ValueError(f"{method} {PATH}{path} answered {answer.status}: {text[:300]!r}")
        return json.loads(text)

    def lessons(self, rows: int) -> Traffic:
        """Lessons of so many examples; each is new, for none has an id."""
        x, y = stream(rows * DISTINCT)
        bodies = [
            json.dumps({"inputs": [tensor(x[at : at + rows])], "outcomes": y[at : at + rows].tolist()}).encode()
            for at in range(0, len(x), rows)
        ]
        return self._traffic("/learn", bodies)

    def questions(self) -> Traffic:
        """Predictions of one row."""
        x, _ = stream(DISTINCT)
        return self._traffic("/infer", [json.dumps({"inputs": [tensor(row[None])]}).encode() for row in x])

    def _traffic(self, path: str, bodies: list[bytes]) -> Traffic:
        requests = tuple(raw(self.port, PATH + path, {"Content-Type": "application/json"}, body) for body in bodies)
        return Traffic(self.port, PATH + path, requests, lambda *_: None)

    def applied(self) -> int:
        """How many examples are learned, once all that are accepted are."""
        begun = perf_counter()
        while (report := self.ask("GET", "/learning"))["behind"]:
            if perf_counter() - begun > PATIENCE_S:
                raise ValueError(f"{report['behind']} examples are not learned within {PATIENCE_S:g} s")
            sleep(0.01)
        return int(report["learned"])

    def cpu_s(self) -> tuple[float, float]:
        """What the door and the learner's process have used so far."""
        door, learner = map(cpu_s, (self.door, self.learner))
        return door, learner

    @contextlib.contextmanager
    def fed(self, rows: int = 100) -> Iterator[None]:
        """Taught at full speed for the length of the block, by what another door would send: never less than one frame
        waits. Who feeds it is on the learner's core.
        """
        x, y = stream(rows * DISTINCT, seed=1)
        over = threading.Event()

        def feed() -> None:
            os.sched_setaffinity(threading.get_native_id(), {LOAD_CORE})
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(_address(self.learner))
                for number in range(1 << 40):
                    if over.is_set():
                        return
                    own = slice(number % DISTINCT * rows, (number % DISTINCT + 1) * rows)
                    ids = tuple(f"fed {id(over)} {number}/{row}" for row in range(rows))
                    lesson = messages.Examples("feed", ids, columns(Batch({"x": x[own]})), column("", y[own]))
                    sock.sendall(messages.frame(messages.TEACH, number, body=messages.encode([lesson])))
                    _answer(sock)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            yield
        finally:
            over.set()
            feeder.join()


@contextlib.contextmanager
def spinning() -> Iterator[None]:
    """The learner's core is kept busy for the length of the block by a process that has nothing to do with the door."""
    with subprocess.Popen([sys.executable, "-c", SPIN]) as process:
        os.sched_setaffinity(process.pid, {LOAD_CORE})
        try:
            yield
        finally:
            process.kill()


def tensor(x: Array) -> dict[str, Any]:
    """An input of the Open Inference Protocol."""
    return {"name": "x", "datatype": "FP64", "shape": list(x.shape), "data": x.ravel().tolist()}


@contextlib.contextmanager
def serve(model: Path, home: Path | None = None, env: Mapping[str, str] | None = None) -> Iterator[Learning]:
    """Serve a description of a learner, or a bundle of one, under the name `learner`."""
    with tempfile.TemporaryDirectory(prefix="servable-bench-") as text:
        folder = Path(text)
        port = free_port()
        command = [
            SERVABLE, "serve", str(model), "--home", str(home or folder / "home"), "--http-port", str(port),
            "--grpc-port", str(free_port()), "--workers", "1",
        ]  # fmt: skip
        with started(command, env or {}, folder / "log", folder) as process:
            while True:
                with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                    Learning(port, 0, 0).ask("POST", "/infer", {"inputs": [tensor(np.zeros((1, WIDTH)))]})
                    break
                if perf_counter() - process.started_s > PATIENCE_S:
                    raise ValueError(tail(process.log))
                sleep(0.02)
            door, learner = (_process(process.pid, words) for words in (b"servable.app", b"servable.online.process"))
            for task in Path(f"/proc/{learner}/task").iterdir():
                os.sched_setaffinity(int(task.name), {LOAD_CORE})
            yield Learning(port, door, learner, process.pid)


def described(folder: Path) -> Path:
    """The file of the built-in learner."""
    path = folder / "learner.json"
    path.write_text(FTRL)
    return path


def _process(supervisor: int, words: bytes) -> int:
    return next(pid for pid in tree(supervisor) if words in Path(f"/proc/{pid}/cmdline").read_bytes())


def cpu_s(pid: int) -> float:
    """What the threads of a process have used of processors, to the nanosecond: a lesson takes less than a tick."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def _address(learner: int) -> str:
    """Where its process listens, by the kernel's account."""
    held = {str(path.readlink()) for path in Path(f"/proc/{learner}/fd").iterdir()}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and f"socket:[{fields[6]}]" in held and fields[7].endswith("/socket"):
            return fields[7]
    raise ValueError("the learner listens nowhere")


def _answer(sock: socket.socket) -> None:
    """Frames, up to the one that says what became of a lesson."""
    kind = 0
    while kind != messages.TAUGHT:
        kind, head, body, _, _ = HEADER.unpack(sock.recv(HEADER.size, socket.MSG_WAITALL))
        sock.recv(head + body, socket.MSG_WAITALL)
