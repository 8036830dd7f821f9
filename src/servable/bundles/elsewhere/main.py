"""The process that opens a model elsewhere: `python -m servable.bundles.elsewhere.main FD`. `process.py` starts it.

First the walls, then the model. It answers one question after another, and ends when nobody asks any more.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from servable.sandbox import walls

if TYPE_CHECKING:
    from servable.bundles.elsewhere import messages
    from servable.domain.model import Model


def main() -> None:
    """Take the first message, the walls; stand behind them; answer."""
    os.dup2(2, 1)  # what the model's code prints is no answer of the command
    sock = socket.socket(fileno=int(sys.argv[1]))
    asked, told = sock.makefile("rb"), sock.makefile("wb")
    around = msgspec.json.decode(asked.readline(), type=walls.Walls)
    threading.Thread(target=_watch, args=(sock.fileno(),), daemon=True).start()
    try:
        layers = walls.enter(around)
    except Exception as error:  # noqa: BLE001 - told to whoever waits, whatever it is
        _begin(told, (), error)
        return
    _begin(told, layers, None)
    answer_all(asked, told)


def _begin(told: BinaryIO, layers: tuple[str, ...], error: Exception | None) -> None:
    # Only now: these import numpy, which starts threads, and the walls bind those that come after them.
    from servable.bundles.elsewhere import messages

    messages.say(told, messages.Answer(layers, problem=None if error is None else problem_of(error)))


def _watch(fd: int) -> None:
    """End with whoever asks, also in the middle of a call."""
    poll = select.poll()
    poll.register(fd, select.POLLHUP)
    poll.poll()
    os._exit(0)


def answer_all(asked: BinaryIO, told: BinaryIO) -> None:
    """Answer until there are no more questions."""
    from servable.bundles.elsewhere import messages

    place = _Place()
    while (line := messages.hear(asked)) is not None:
        try:
            answer = place.answer(messages.read_question(line))
        except Exception as error:  # noqa: BLE001 - a wall: a model's code may raise anything
            answer = messages.Answer(problem=problem_of(error))
        messages.say(told, answer)


def problem_of(error: Exception) -> Any:
    """What is told of an error, whatever it is."""
    from servable.domain.problem import Problem
    from servable.errors import CorruptModel, ServableError

    if isinstance(error, ServableError):
        return Problem.of(error)
    return Problem(CorruptModel.code, f"it fails: {type(error).__name__}: {str(error)[:300]}")


class _Place:
    """What is open here."""

    def __init__(self) -> None:
        self._model: Model | None = None

    def answer(self, question: messages.Question) -> messages.Answer:
        """The answer to one question. Raises anything."""
        from servable.bundles.elsewhere import messages

        if isinstance(question, messages.Predict):
            return self._predict(question)
        if isinstance(question, messages.Open):
            return self._open(question)
        if isinstance(question, messages.ToLite):
            return _lite(question)
        return _made(question) if isinstance(question, messages.Make) else _declared(question)

    def _open(self, question: messages.Open) -> messages.Answer:
        from servable.bundles import manifest
        from servable.bundles.elsewhere import messages
        from servable.bundles.golden import prove_golden
        from servable.bundles.open import open_bundle
        from servable.runtimes.find import runtime

        if self._model is not None:
            self._model.close()
            self._model = None
        bundle = open_bundle(Path(question.source), name=question.name)
        self._model = runtime(bundle.manifest.format).load(bundle, question.device)
        prove_golden(bundle, self._model)
        stated = manifest.dumps(bundle.manifest).decode()
        return messages.Answer(opened=messages.Opened(stated, str(bundle.folder), bundle.digest, bundle.inferred))

    def _predict(self, question: messages.Predict) -> messages.Answer:
        from servable.bundles.elsewhere import messages
        from servable.domain.batch import Batch
        from servable.errors import ModelFailed, ServableError

        assert self._model is not None  # noqa: S101 - loaded before it is asked
        try:
            answer = self._model.predict(question.rows.batch())
        except ServableError:
            raise
        except (Exception, SystemExit) as error:
            raise ModelFailed(f"the model failed with {type(error).__name__}: {str(error)[:300]}") from error
        if not isinstance(answer, Batch):
            raise ModelFailed(f"the model answered with a {type(answer).__name__}, not a Batch")
        return messages.Answer(rows=messages.Rows.of(answer))


def _declared(question: messages.Declare) -> messages.Answer:
    from servable.bundles.elsewhere import messages
    from servable.runtimes.find import runtime

    plugin: Any = runtime(question.format)
    path, rows = Path(question.path), question.rows
    if question.known is None:
        return messages.Answer(seen=plugin.declared(path))
    return messages.Answer(seen=plugin.declared(path, question.known, None if rows is None else rows.batch()))


def _made(question: messages.Make) -> messages.Answer:
    from servable.bundles import manifest
    from servable.bundles.elsewhere import messages
    from servable.bundles.elsewhere.table import taken
    from servable.bundles.pack_foreign import make_here
    from servable.bundles.sample import read_sample

    rows = None if question.given is None else read_sample(taken(question.given), question.label or None)
    to: Any = question.to
    draft = make_here(Path(question.path), question.format, question.name, rows, to)
    files = draft.files.items()
    return messages.Answer(
        made=messages.Made(
            manifest.dumps(draft.manifest).decode(),
            {path: content for path, content in files if isinstance(content, bytes)},
            {path: str(content) for path, content in files if isinstance(content, Path)},
        )
    )


def _lite(question: messages.ToLite) -> messages.Answer:
    from servable.bundles.convert_lite import to_tflite
    from servable.bundles.elsewhere import messages

    rows = None if question.rows is None else question.rows.batch()
    path = Path(question.path)
    return messages.Answer(file=to_tflite(question.format, path, question.signature, question.narrowed, rows))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
