"""Hand: one worker process, and the next when it dies. Does a part at a time, for whoever holds it.

The crew of this machine holds several; on a cluster each task holds one. It computes nothing itself.
"""

from __future__ import annotations

import subprocess
import threading
from typing import Any, Final, Self

import msgspec

from servable.errors import ModelFailed
from servable.offline.early import Early, spawn
from servable.offline.order import Failed, Order, Part, Ready, Scored

TRIES: Final = 3
"""Workers that may die over a part before it is given up."""

_decode = msgspec.json.Decoder(Ready | Scored | Failed).decode
_encode = msgspec.json.Encoder().encode


class Hand:
    """`with Hand(order) as hand: scored = hand.do(part)`."""

    def __init__(self, order: Order, early: Early | None = None) -> None:
        self._order = order
        self._take = spawn if early is None else early.take
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._over = False

    def do(self, part: Part) -> Scored:
        """Have a part done. Raises what the worker could not do, ModelFailed where workers die of it."""
        died = ""
        for _ in range(TRIES):
            if self._process is None:
                died = self._start()
            if self._process is not None:
                scored = self._exchange(self._process, part)
                if isinstance(scored, Scored):
                    return scored
                died = self._bury()
            if self._over:
                break
        where = ", ".join(sorted({piece.path for piece in part.pieces}))
        raise ModelFailed(
            f"{TRIES} workers died over part {part.number} of the input ({where}), the last one "
            f"{died}: the model's library may have crashed, or memory may have run out"
        )

    def _start(self) -> str:
        """A worker that has loaded the model; or how it ended."""
        with self._lock:
            if self._over:
                return "was not wanted any more"
            self._process = self._take()
        if self._exchange(self._process, self._order) is None:
            return f"{self._bury()} while it loaded the model"
        return ""

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

    def _bury(self) -> str:
        """End the worker; how it ended."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return "was not there"
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            code = process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return f"was killed by signal {-code}" if code < 0 else f"ended with {code}"

    def stop(self) -> None:
        """Kill the worker, from any thread: what it was doing is given up."""
        with self._lock:
            self._over = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Let the worker go, when it has nothing to do."""
        self._bury()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
