"""Foreign: a model that runs code of others, in a sandboxed process of its own, asked as if it were here.

The same process, walls and frames that a server's doors use; here one worker is its only caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from servable.bundles import manifest
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.domain.model import Model
from servable.engine.executor import Outcome
from servable.engine.plan import Target
from servable.engine.process.client import RemoteExecutor
from servable.engine.process.messages import Down, Load, Pulse, Up
from servable.engine.process.remote import RemoteModel
from servable.engine.request import Request
from servable.errors import ModelFailed, ServableError

BEAT_S: Final = 5.0
STUCK_AFTER_S: Final = 600.0
MAX_ANSWER_BYTES: Final = 1 << 30


class _Foreign:
    """A `Model` for one thread: each call runs an event loop until its answer is there."""

    concurrent = False

    def __init__(self, name: str, address: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._remote = RemoteModel(
            name, [address], lambda _: None, stuck_after_s=STUCK_AFTER_S, max_answer_bytes=MAX_ANSWER_BYTES
        )
        self._executor: RemoteExecutor = loop.run_until_complete(self._connect())

    async def _connect(self) -> RemoteExecutor:
        return self._remote.executors()[0]

    def predict(self, batch: Batch) -> Batch:
        outcome = self._loop.run_until_complete(self._call(batch))
        if isinstance(outcome, list):
            outcome = outcome[0]
        if isinstance(outcome, ServableError):
            raise outcome
        if not isinstance(outcome, Batch):
            raise ModelFailed("the model's process gave no answer")
        return outcome

    async def _call(self, batch: Batch) -> Outcome | list[Outcome]:
        done: asyncio.Future[Outcome | list[Outcome]] = asyncio.get_running_loop().create_future()
        self._executor.run([Request("bulk", batch, lambda _: None)], 1.0, lambda outcome, _: done.set_result(outcome))
        return await done

    def close(self) -> None:
        self._executor.close()


@contextlib.contextmanager
def foreign(target: Target, python: str = sys.executable) -> Iterator[tuple[Model, Bundle]]:
    """The model of a target, in its process, for the length of a `with`. Raises what kept it from loading."""
    with tempfile.TemporaryDirectory(prefix="servable-") as text, contextlib.ExitStack() as held:
        folder = Path(text)
        scratch = folder / "scratch"
        scratch.mkdir(mode=0o700)
        listener = held.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(folder / "socket"))
        listener.listen()
        control, theirs = map(held.enter_context, socket.socketpair())
        command = [python, "-P", "-m", "servable.engine.process.main", "--control-fd", str(theirs.fileno())]
        process = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(), listener.fileno()),
            env={**os.environ, "HOME": str(scratch)},
            stdin=subprocess.DEVNULL,
        )
        held.callback(process.wait)
        held.callback(process.kill)
        theirs.close()
        load = Load(target, listener.fileno(), str(scratch), BEAT_S, warm_up=False, max_answer_bytes=MAX_ANSWER_BYTES)
        control.sendall(msgspec.json.encode(load) + b"\n")
        lines = held.enter_context(control.makefile("rb"))
        up = _until_up(lines, target.name)
        threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()  # its pulses
        loop = asyncio.new_event_loop()
        held.callback(loop.close)
        model = _Foreign(target.name, str(folder / "socket"), loop)
        held.callback(model.close)
        stated = manifest.loads(up.manifest.encode())
        yield model, Bundle(Path(up.folder), stated, up.digest, up.inferred)


def _until_up(lines: Iterator[bytes], name: str) -> Up:
    decode = msgspec.json.Decoder(Up | Down | Pulse).decode
    for line in lines:
        told = decode(line)
        if isinstance(told, Down):
            raise told.error.error()
        if isinstance(told, Up):
            return told
    raise ModelFailed(f"the process of {name} ended while it loaded its model: the model's code or library ended it")
