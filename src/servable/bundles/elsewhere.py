"""Elsewhere: a model that is code, opened and asked while it is packed, in a process of its own and on the libraries
that it will be served with.

Run as a program by `Elsewhere`: it answers messages, one JSON line each, until nobody asks any more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from servable.bundles.environments import path_for
from servable.bundles.tensors import Tensor, tensor
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.domain.problem import Problem
from servable.domain.runtime import Inspection
from servable.errors import CorruptModel, EnvironmentFault, ServableError
from servable.runtimes.find import runtime


class Rows(msgspec.Struct, frozen=True):
    """A batch, as a message."""

    columns: dict[str, Tensor]
    count: int

    @staticmethod
    def of(batch: Batch) -> Rows:
        """The batch as a message."""
        return Rows({name: tensor(array) for name, array in batch.columns.items()}, batch.rows)

    def batch(self) -> Batch:
        """The message as a batch."""
        return Batch({name: written.array() for name, written in self.columns.items()}, self.count)


class Declare(msgspec.Struct, frozen=True, tag=True):
    """What does the model at `path` take and give? `known` is what a sample told, `rows` are its own."""

    format: str
    path: str
    known: Inspection | None = None
    rows: Rows | None = None


class Open(msgspec.Struct, frozen=True, tag=True):
    """Load the bundle in this folder."""

    folder: str


class Predict(msgspec.Struct, frozen=True, tag=True):
    """Ask the model that was loaded last."""

    rows: Rows


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it."""

    seen: Inspection | None = None
    rows: Rows | None = None
    problem: Problem | None = None


_encode = msgspec.json.Encoder().encode
_asked = msgspec.json.Decoder(Declare | Open | Predict).decode
_answered = msgspec.json.Decoder(Answer).decode


class Elsewhere:
    """The process, for the length of a `with`. `python` is its interpreter; None: the one that runs this."""

    concurrent = False

    def __init__(self, python: Path | None = None) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="servable-pack-")
        environ = dict(os.environ)
        if python is not None:
            environ["PYTHONPATH"] = str(path_for(Path(self._place.name)))
        command = [str(python or sys.executable), "-P", "-m", "servable.bundles.elsewhere"]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)
        except OSError as error:
            self._place.cleanup()
            raise EnvironmentFault(f"the interpreter {str(python)!r} cannot be run: {error.strerror}") from error

    def declared(self, kind: str, path: Path, known: Inspection | None, rows: Batch | None) -> Inspection:
        """What the runtime `kind` learns of a model by running it. Raises what that raises, CorruptModel."""
        answer = self._ask(Declare(kind, str(path), known, None if rows is None else Rows.of(rows)))
        assert answer.seen is not None  # noqa: S101 - the answer to this question
        return answer.seen

    def load(self, bundle: Bundle) -> Model:
        """The bundle's model, there."""
        self._ask(Open(str(bundle.folder)))
        return self

    def predict(self, batch: Batch) -> Batch:
        """The answer of the model that was loaded last."""
        answer = self._ask(Predict(Rows.of(batch)))
        assert answer.rows is not None  # noqa: S101 - as above
        return answer.rows.batch()

    def close(self) -> None:
        """Nothing: it ends with the `with`."""

    def _ask(self, message: Declare | Open | Predict) -> Answer:
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        try:
            self._process.stdin.write(_encode(message) + b"\n")
            self._process.stdin.flush()
            answer = _answered(self._process.stdout.readline())
        except (OSError, msgspec.DecodeError) as error:
            code = self._process.wait()
            raise CorruptModel(f"the model ended the process that opened it (exit code {code})") from error
        if answer.problem is not None:
            raise answer.problem.error()
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._place.cleanup()


def answer_all(asked: IO[bytes], told: IO[bytes]) -> None:
    """Answer until there are no more messages."""
    model: Model | None = None
    for line in asked:
        try:
            message = _asked(line)
            if isinstance(message, Predict):
                assert model is not None  # noqa: S101 - loaded before it is asked
                answer = Answer(rows=Rows.of(model.predict(message.rows.batch())))
            elif isinstance(message, Open):
                model, answer = _load(Path(message.folder)), Answer()
            else:
                answer = Answer(_declared(message))
        except ServableError as error:
            answer = Answer(problem=Problem.of(error))
        except Exception as error:  # noqa: BLE001 - a wall: a model's code may raise anything
            answer = Answer(problem=Problem(CorruptModel.code, f"it fails: {type(error).__name__}: {str(error)[:300]}"))
        told.write(_encode(answer) + b"\n")
        told.flush()


def _declared(message: Declare) -> Inspection:
    plugin: Any = runtime(message.format)
    path = Path(message.path)
    if message.known is None:
        found: Inspection = plugin.declared(path)
    else:
        found = plugin.declared(path, message.known, None if message.rows is None else message.rows.batch())
    return found


def _load(folder: Path) -> Model:
    from servable.bundles.open import open_bundle

    bundle = open_bundle(folder)
    return runtime(bundle.manifest.format).load(bundle)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the model's code prints is no answer
    answer_all(sys.stdin.buffer, answers)
