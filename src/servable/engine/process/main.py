"""A model process: `python -m servable.engine.process.main --control-fd N`. The supervisor starts it, and nobody else.

First the sandbox, then the model: nothing of the bundle is opened before the walls stand. The main thread answers
calls; a second one keeps the supervisor informed, and ends the process when the supervisor is gone.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from servable.domain.problem import Problem
from servable.engine.process.messages import Down, Load, Pulse, Retire, Up
from servable.errors import ServableError, UsageError
from servable.sandbox import walls

if TYPE_CHECKING:
    from servable.domain.model import Model
    from servable.engine.loading import Loaded
    from servable.engine.process.serve import Beside, Calls

    More = Callable[[Loaded, Load], tuple[Model, Beside]]

logger = logging.getLogger("servable.process")

_decode = msgspec.json.Decoder(Load | Retire).decode
_encode = msgspec.json.Encoder().encode
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Supervisor:
    """The process's end of the channel. `say` is for any thread."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lines = control.makefile("rb")
        self._speaking = threading.Lock()
        self.calls: Calls | None = None
        """Set once the model is loaded."""

    def say(self, message: Up | Down | Pulse) -> None:
        """Send. Where nobody hears it, there is nothing left to live for."""
        try:
            with self._speaking:
                self._control.sendall(_encode(message) + b"\n")
        except OSError:
            os._exit(0)

    def hear(self) -> Load | Retire:
        """The next message. Ends the process when there is none any more."""
        line = self._lines.readline()
        if not line:
            os._exit(0)
        message: Load | Retire = _decode(line)
        return message

    def watch(self, beat_s: float) -> None:
        """Pulse, and listen, for ever: a thread's work."""
        while True:
            heard, _, _ = select.select((self._control,), (), (), beat_s)
            calls = self.calls
            if heard and isinstance(self.hear(), Retire):
                if calls is None:
                    os._exit(0)
                calls.retire()
            self.say(Pulse(memory_bytes()) if calls is None else Pulse(memory_bytes(), calls.doors, calls.left))


def memory_bytes() -> int:
    """What this process holds in memory of its own and of files, in bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - twice as fast, and each second
            return int(statm.read().split()[1]) * PAGE
    except OSError:
        return 0


def serve(supervisor: Supervisor, load: Load, more: More | None = None) -> int:
    """Enter the sandbox, load, and answer until retired. Returns the exit code.

    `more` is what this process is for beside its calls: given what was loaded, the model that answers them instead, and
    what is done beside.
    """
    try:
        layers = walls.enter(load.walls())
        threading.Thread(target=supervisor.watch, args=(load.beat_s,), name="servable-pulse", daemon=True).start()
        # Only now: these import numpy, which starts threads, and the sandbox binds those that come after it.
        from servable.bundles import manifest
        from servable.domain.generation import Generator
        from servable.engine.loading import load as loaded_from
        from servable.engine.process.serve import Calls

        loaded = loaded_from(load.target, warm_up=load.warm_up)
        model, beside = (loaded.model, None) if more is None else more(loaded, load)
    except ServableError as error:
        supervisor.say(Down(Problem.of(error)))
        return error.exit_code
    except Exception as error:  # the wall: a model's code may raise anything
        logger.exception("loading %s:%s failed", load.target.name, load.target.version)
        supervisor.say(Down(Problem(ServableError.code, f"loading it failed: {type(error).__name__}: {error}")))
        return 1
    bundle, curve = loaded.bundle, tuple(loaded.curve.points)
    calls = supervisor.calls = Calls(model, socket.socket(fileno=load.listen_fd), load.max_answer_bytes, beside)
    supervisor.say(
        Up(
            manifest.dumps(bundle.manifest).decode(),
            str(bundle.folder),
            bundle.digest,
            bundle.inferred,
            curve,
            layers,
            isinstance(loaded.model, Generator),
        )
    )
    calls.answer_all()
    model.close()
    return 0


def main(arguments: Sequence[str] | None = None, more: More | None = None) -> int:
    """Take the control socket by its number, and do what comes through it. `more`: see `serve`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] != ["--control-fd"] or len(words) != 2:
        raise UsageError("this is a model process of `servable serve`, which starts it: not for people")
    walls.die_with_parent()
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S", level=logging.INFO)
    logging.captureWarnings(capture=True)
    supervisor = Supervisor(socket.socket(fileno=int(words[1])))
    load = supervisor.hear()
    if not isinstance(load, Load):
        return 3
    return serve(supervisor, load, more)


def end(code: int) -> NoReturn:
    """No clean-up of the model's own: its threads and exit handlers have had their time, and may hang."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    end(main())
