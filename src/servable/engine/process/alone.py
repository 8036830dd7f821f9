"""A model process of one command: started without a supervisor, asked one call at a time, and ended with the command.

What a server gives to foreign code it has here too: the sandbox, the environment with its own libraries, and the wall
that keeps a crash of the model from being one of ours. A process that died is not started again: a command reports it.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from time import monotonic
from typing import Any, Final

import msgspec

from servable.bundles import manifest
from servable.bundles.environments import build, path_for
from servable.bundles.guard import guard_of
from servable.bundles.open import format_of
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.engine.loading import Loaded
from servable.engine.plan import Target
from servable.engine.policy import CostCurve
from servable.engine.process import frames
from servable.engine.process.environment import environment
from servable.engine.process.messages import Down, Load, Pulse, Up
from servable.errors import EnvironmentFault, ModelFailed

BEAT_S: Final = 1.0
FOREVER_S: Final = 1e9

_told = msgspec.json.Decoder(Up | Down | Pulse)


def load_alone(target: Target, environments: Path) -> Loaded:
    """The version in a process of its own, ready to be asked. `environments` is the folder of those that bundles name.

    Raises what loading raises, and EnvironmentFault.
    """
    plugin, stated = format_of(Path(target.source))
    options: dict[str, Any] = {} if stated is None else stated.options
    python: Path | None = Path(options["python"]) if options.get("python") else None
    if options.get("requirements"):
        python = build(Path(target.source) / str(options["requirements"]), environments)
    alone = _Alone(python)
    try:
        spawns, listens = (bool(getattr(plugin, needs, False)) for needs in ("spawns", "listens"))
        up = alone.start(target, spawns=spawns, listens=listens)
    except BaseException:
        alone.close()
        raise
    whole = msgspec.structs.replace(manifest.loads(up.manifest.encode()), name=target.name)
    bundle = Bundle(Path(up.folder), whole, up.digest, up.inferred)
    return Loaded(bundle, alone, CostCurve(list(up.curve)), guard_of(bundle))


class _Alone:
    """A Model whose calls are made elsewhere."""

    concurrent = False

    def __init__(self, python: Path | None) -> None:
        """`python`: its interpreter; None: ours."""
        self._place = tempfile.TemporaryDirectory(prefix="servable-alone-")
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._number = 0

    def start(self, target: Target, *, spawns: bool, listens: bool) -> Up:
        """What the process says once its model is loaded. Raises what kept it from loading."""
        folder = Path(self._place.name)
        (folder / "scratch").mkdir()
        environ = environment()
        if self._python is not None:
            environ["PYTHONPATH"] = str(path_for(folder))
        with contextlib.ExitStack() as open_:
            listener = open_.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(folder / "socket"))
            listener.listen()
            ours, theirs = socket.socketpair()
            open_.enter_context(theirs)
            command = [str(self._python or sys.executable), "-P", "-m", "servable.engine.process.main"]
            try:
                self._process = subprocess.Popen(
                    [*command, "--control-fd", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(), listener.fileno()), env=environ,
                )  # fmt: skip
            except OSError as error:
                ours.close()
                raise EnvironmentFault(f"the interpreter {str(self._python)!r} cannot be run: {error}") from error
            scratch = str(folder / "scratch")
            load = Load(target, listener.fileno(), scratch, beat_s=BEAT_S, spawns=spawns, listens=listens)
            ours.sendall(msgspec.json.encode(load) + b"\n")
        up = self._up(ours, target)
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.connect(str(folder / "socket"))
        return up

    def _up(self, control: socket.socket, target: Target) -> Up:
        """Wait for it. What comes later, its pulses, is heard and let go by a thread: they must not fill the socket."""
        lines = control.makefile("rb")
        control.close()
        for line in lines:
            message = _told.decode(line)
            if isinstance(message, Down):
                lines.close()
                raise message.error.error()
            if isinstance(message, Up):
                threading.Thread(target=_let_go, args=(lines,), daemon=True).start()
                return message
        lines.close()
        raise ModelFailed(f"{target.name}: its process died as it loaded ({self._ended()})")

    def predict(self, batch: Batch) -> Batch:
        """The process's answer. Raises ModelFailed where it died of the call."""
        assert self._sock is not None  # noqa: S101 - started before it is asked
        self._number += 1
        try:
            for part in frames.batch(frames.CALL, self._number, batch, None, monotonic() + FOREVER_S)[0]:
                self._sock.sendall(part)
            while True:
                kind, head_bytes, body_bytes, number, _ = frames.HEADER.unpack(self._take(frames.HEADER.size))
                head, body = self._take(head_bytes), self._take(body_bytes)
                if number == self._number and kind == frames.ANSWER:
                    return frames.read_batch(head, body, None, copy=True)[0]
                if number == self._number and kind == frames.PROBLEM:
                    raise frames.read_problem(head).error()
        except (OSError, EOFError) as error:
            raise ModelFailed(f"the model's process died of a call with {batch.rows} rows ({self._ended()})") from error

    def _take(self, size: int) -> memoryview:
        assert self._sock is not None  # noqa: S101 - as above
        data = memoryview(bytearray(size))
        rest = data
        while rest:
            taken = self._sock.recv_into(rest)
            if not taken:
                raise EOFError
            rest = rest[taken:]
        return data

    def _ended(self) -> str:
        code = self._process.wait() if self._process is not None else None
        return f"exit code {code}"

    def close(self) -> None:
        """End the process."""
        if self._sock is not None:
            self._sock.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._place.cleanup()


def _let_go(lines: Any) -> None:
    with contextlib.suppress(OSError), lines:
        for _ in lines:
            continue


def needs_process(source: Path) -> bool:
    """Whether what is there runs foreign code, or wants libraries of its own. Opens no model."""
    plugin, stated = format_of(source)
    options = {} if stated is None else stated.options
    return bool(plugin.isolated or options.get("isolate") or options.get("python") or options.get("requirements"))
