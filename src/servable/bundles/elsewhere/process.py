"""Our end of a process that opens a model elsewhere: started, asked one question at a time, ended with `close`.

What a server gives to foreign code it has here too: the walls, the environment with its own libraries, and that a crash
of the model is not one of ours. A process that died is not started again: who asked is told.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

import msgspec

from servable.bundles.elsewhere import messages
from servable.bundles.elsewhere.messages import (
    Answer,
    Declare,
    Made,
    Make,
    Open,
    Opened,
    Predict,
    Question,
    Rows,
    ToLite,
)
from servable.bundles.environments import path_for
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.runtime import Inspection
from servable.errors import CorruptModel, EnvironmentFault, ModelFailed
from servable.sandbox.environment import environment
from servable.sandbox.walls import Walls
from servable.settings import load_settings

if TYPE_CHECKING:
    from servable.domain.runtime import Runtime

NOBODY: Final = (OSError, EOFError, ValueError, msgspec.MsgspecError)
"""What reading raises where the other end died, or sent what is no message."""


class Died(ModelFailed):
    """The process is gone, and answers nothing more."""


class Elsewhere:
    """The process. A Model too: of the bundle that was loaded last. Its methods are for any thread, one at a time."""

    concurrent = False

    def __init__(self, name: str, readable: Sequence[str], plugin: Runtime, python: Path | None = None) -> None:
        """For the model `name` of the runtime `plugin`. `readable`: what it may read beside its own code and the folder
        `place`; `python`: its interpreter, None: ours. Raises EnvironmentFault.
        """
        folder = tempfile.mkdtemp(prefix="servable-elsewhere-")
        self.place = Path(folder) / "place"
        scratch = Path(folder) / "scratch"
        for each in (self.place, scratch):
            each.mkdir(mode=0o700)
        self._name = name
        self._asking = threading.Lock()
        environ = environment()
        if python is not None:
            environ["PYTHONPATH"] = str(path_for(Path(folder)))
        ours, theirs = socket.socketpair()
        command = [str(python or sys.executable), "-P", "-m", "servable.bundles.elsewhere.main", str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env=environ
            )  # fmt: skip
        except BaseException as error:  # also of Ctrl-C
            ours.close()
            shutil.rmtree(folder)
            if not isinstance(error, OSError):
                raise
            raise EnvironmentFault(f"the interpreter {str(python)!r} cannot be run: {error.strerror}") from error
        finally:
            theirs.close()
        self._told, self._heard = ours.makefile("wb"), ours.makefile("rb")
        ours.close()
        self._end = weakref.finalize(self, _end, self._process, self._told, self._heard, folder)
        walls = Walls(
            name, (str(self.place), *readable), str(scratch), mode=load_settings().sandbox,
            spawns=bool(getattr(plugin, "spawns", False)), listens=bool(getattr(plugin, "listens", False)),
        )  # fmt: skip
        try:
            self.layers = self._begin(walls)
        except BaseException:
            self.close()
            raise

    def _begin(self, walls: Walls) -> tuple[str, ...]:
        try:
            self._told.write(msgspec.json.encode(walls) + b"\n")
            self._told.flush()
            answer = self._answer()
        except NOBODY as error:
            raise EnvironmentFault(f"the process for {self._name!r} ended as it began ({self._ended()})") from error
        if answer.problem is not None:
            raise answer.problem.error()
        return answer.layers

    def declared(self, kind: str, path: Path, known: Inspection | None, rows: Batch | None) -> Inspection:
        """What the runtime `kind` learns of a model by running it. Raises what that raises, CorruptModel."""
        told = None if rows is None else Rows.of(rows)
        answer = self._opening(Declare(kind, str(path), known, told))
        assert answer.seen is not None  # noqa: S101 - the answer to this question
        return answer.seen

    def made(self, question: Make) -> Made:
        """The draft of a bundle. Raises what making it raises, CorruptModel."""
        answer = self._opening(question)
        assert answer.made is not None  # noqa: S101 - as above
        return answer.made

    def lite(self, question: ToLite) -> bytes:
        """A TFLite file of a model. Raises what making it raises, CorruptModel."""
        answer = self._opening(question)
        assert answer.file is not None  # noqa: S101 - as above
        return answer.file

    def open(self, source: Path, name: str | None = None, device: str = "cpu") -> Opened:
        """Load the bundle or bare model there, proven on its golden rows. Raises what that raises, CorruptModel."""
        answer = self._opening(Open(str(source), name, device))
        assert answer.opened is not None  # noqa: S101 - as above
        return answer.opened

    def load(self, bundle: Bundle) -> Model:
        """The bundle's model, there: this."""
        self.open(bundle.folder)
        return self

    def predict(self, batch: Batch) -> Batch:
        """The answer of the model that was loaded last. Raises Died where the process did."""
        try:
            answer = self._ask(Predict(Rows.of(batch)))
            if answer.rows is not None:
                return answer.rows.batch()
        except NOBODY as error:
            rows = f"a call with {batch.rows} rows"
            raise Died(f"the process of {self._name!r} died of {rows} ({self._ended()})") from error
        assert answer.problem is not None  # noqa: S101 - rows, or why there are none
        raise answer.problem.error()

    def _opening(self, question: Question) -> Answer:
        try:
            answer = self._ask(question)
        except NOBODY as error:
            raise CorruptModel(f"{self._name!r} ended the process that opened it ({self._ended()})") from error
        if answer.problem is not None:
            raise answer.problem.error()
        return answer

    def _ask(self, question: Question) -> Answer:
        with self._asking:
            messages.say(self._told, question)
            return self._answer()

    def _answer(self) -> Answer:
        data = messages.hear(self._heard)
        if data is None:
            raise EOFError
        return messages.read_answer(data)

    def _ended(self) -> str:
        self._process.kill()  # it may have closed its socket only
        code = self._process.wait()
        return f"exit code {code}" if code >= 0 else f"signal {-code}"

    def close(self) -> None:
        """End the process."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(process: subprocess.Popen[bytes], told: BinaryIO, heard: BinaryIO, folder: str) -> None:
    process.kill()
    process.wait()
    for stream in (told, heard):
        with contextlib.suppress(OSError):
            stream.close()
    shutil.rmtree(folder, ignore_errors=True)


def needs(plugin: Runtime, options: dict[str, Any]) -> bool:
    """Whether a model of this runtime, with these options of its manifest, is opened elsewhere: it may run foreign
    code, or wants libraries of its own.
    """
    return bool(plugin.isolated or options.get("isolate") or options.get("python") or options.get("requirements"))
