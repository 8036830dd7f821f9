"""Crew: the workers of a job, and which part each of them does. A worker that dies is replaced, and its part done anew.

One thread a worker hands out orders and waits for reports; it computes nothing.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self

import msgspec

from servable.errors import ModelFailed, ServableError
from servable.offline.order import Failed, Order, Part, Ready, Scored

TRIES: Final = 3
"""Workers that may die over a part before it is given up."""
LIMITS: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_IO_THREADS": "1"}
"""A worker has one core: its libraries must not take them all."""

_decode = msgspec.json.Decoder(Ready | Scored | Failed).decode
_encode = msgspec.json.Encoder().encode


class Crew:
    """`with Crew(order, 4) as crew: for scored in crew.run(parts): …`."""

    def __init__(self, order: Order, workers: int) -> None:
        self._order = order
        self._workers = workers
        self._waiting: queue.SimpleQueue[Part | None] = queue.SimpleQueue()
        self._reports: queue.SimpleQueue[Scored | ServableError] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._live: set[subprocess.Popen[bytes]] = set()
        self._threads: list[threading.Thread] = []
        self._over = False

    def run(self, parts: Sequence[Part]) -> Iterator[Scored]:
        """Have all parts done; each report as it comes. Raises what a worker could not do."""
        for part in parts:
            self._waiting.put(part)
        count = min(self._workers, len(parts))
        for _ in range(count):
            self._waiting.put(None)
            thread = threading.Thread(target=self._keep, name="servable-crew", daemon=True)
            thread.start()
            self._threads.append(thread)
        for _ in parts:
            report = self._reports.get()
            if isinstance(report, ServableError):
                raise report
            yield report

    def _keep(self) -> None:
        """A worker, and the next when it dies, until no part waits."""
        process: subprocess.Popen[bytes] | None = None
        try:
            while (part := self._waiting.get()) is not None and not self._over:
                for attempt in range(TRIES):
                    died = ""
                    if process is None:
                        process, died = self._start()
                    if process is not None:
                        scored = self._ask(process, part)
                        if scored is not None:
                            self._reports.put(scored)
                            break
                        died = self._bury(process)
                        process = None
                    if attempt == TRIES - 1 or self._over:
                        where = ", ".join(sorted({piece.path for piece in part.pieces}))
                        raise ModelFailed(
                            f"{TRIES} workers died over part {part.number} of the input ({where}), the last one "
                            f"{died}: the model's library may have crashed, or memory may have run out"
                        )
        except ServableError as error:
            self._reports.put(error)
        except Exception as error:  # noqa: BLE001 - the wall: whoever waits for reports must hear of it
            self._reports.put(ServableError(f"a worker could not be kept: {type(error).__name__}: {error}"))
        finally:
            if process is not None:
                self._bury(process)

    def _start(self) -> tuple[subprocess.Popen[bytes] | None, str]:
        """A worker that has loaded the model; or how it ended."""
        environ = {**os.environ, **LIMITS}
        command = [sys.executable, "-P", "-m", "servable.offline.worker"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environ, start_new_session=True
        )
        with self._lock:
            self._live.add(process)
        if self._exchange(process, self._order) is None:
            return None, f"{self._bury(process)} while it loaded the model"
        return process, ""

    def _ask(self, process: subprocess.Popen[bytes], part: Part) -> Scored | None:
        report = self._exchange(process, part)
        return report if isinstance(report, Scored) else None

    def _exchange(self, process: subprocess.Popen[bytes], message: Any) -> Ready | Scored | None:
        """Say something, wait for the answer; None if the process died. Raises what it could not do."""
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            return None
        try:
            stdin.write(_encode(message) + b"\n")
        except (BrokenPipeError, ValueError):
            return None
        line = b""
        while not line.endswith(b"\n"):
            more = stdout.readline()
            if not more:
                return None
            line += more
        report: Ready | Scored | Failed = _decode(line)
        if isinstance(report, Failed):
            raise report.problem.error()
        return report

    def _bury(self, process: subprocess.Popen[bytes]) -> str:
        """End a worker; how it ended."""
        with self._lock:
            self._live.discard(process)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            code = process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return f"was killed by signal {-code}" if code < 0 else f"ended with {code}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        with self._lock:
            for process in self._live:
                process.kill()
        for thread in self._threads:
            thread.join()
