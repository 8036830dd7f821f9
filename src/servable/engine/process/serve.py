"""Calls: a model process's work: several doors' calls, one at a time, each answered to the door it came from.

A door that misbehaves or goes away loses its connection, and nobody else anything.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
import threading
from functools import partial
from time import monotonic
from typing import Any, Final, Protocol

from servable.domain.batch import Batch
from servable.domain.generation import Generator
from servable.domain.model import Model
from servable.domain.problem import Problem
from servable.engine.process.arena import Arena
from servable.engine.process.speech import Speech
from servable.errors import DeadlineExceeded, ModelFailed, ServableError
from servable.wire import frames

RECEIVE_BYTES: Final = 256 * 1024
FDS: Final = 2
DOOR_TIMEOUT_S: Final = 5
"""A door that stops in the middle of a frame must not hold up the others."""

logger = logging.getLogger("servable.process")


class Hangup(Exception):
    """The door is gone."""


class Beside(Protocol):
    """More that a process does for its doors than answer calls: what learns. All on the thread of the calls."""

    def hear(self, door: Door, kind: int, number: int, body: memoryview) -> bool:
        """A frame that is no call; false if it is none of its own. Raises BadFrame, OSError."""
        ...

    def forget(self, door: Door) -> None:
        """The door is gone."""
        ...

    def turn(self) -> None:
        """After each round of frames, and when `pause_ms` is over."""
        ...

    def pause_ms(self) -> int | None:
        """How long it may be left alone; None: until there is a frame."""
        ...


class Calls:
    """Answers for one model, on the thread that calls `answer_all`; the rest is for any thread."""

    def __init__(
        self, model: Model, listener: socket.socket, max_answer_bytes: int, beside: Beside | None = None
    ) -> None:
        self._model = model
        self._listener = listener
        self._max_answer_bytes = max_answer_bytes
        listener.setblocking(False)
        self._beside = beside
        self._doors: dict[int, Door] = {}
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._wake, self._woken = socket.socketpair()
        self._poll.register(self._woken, select.POLLIN)
        self._retired = threading.Event()
        self._speech = Speech(model) if isinstance(model, Generator) else None
        self.left = False
        """A door has said that it unloaded this version."""

    @property
    def doors(self) -> int:
        """How many are connected."""
        return len(self._doors)

    def retire(self) -> None:
        """Let `answer_all` end after the call that runs."""
        self._retired.set()
        self._wake.send(b".")

    def answer_all(self) -> None:
        """Answer until retired."""
        while not self._retired.is_set():
            for fd, _ in self._poll.poll(None if self._beside is None else self._beside.pause_ms()):
                if self._retired.is_set():
                    break
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._doors:
                    self._serve(self._doors[fd])
            if self._beside is not None:
                self._beside.turn()
        if self._speech is not None:
            self._speech.drain()
        for door in list(self._doors.values()):
            try:
                door.send([frames.control(frames.GOODBYE)])
            except OSError:
                continue

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # another process of this model was faster, or the door is gone again
            return
        sock.setblocking(True)
        for timeout in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, timeout, struct.pack("@ll", DOOR_TIMEOUT_S, 0))
        door = Door(sock)
        try:
            door.send([frames.control(frames.WELCOME, os.getpid())])
        except OSError:
            sock.close()
            return
        self._doors[sock.fileno()] = door
        self._poll.register(sock, select.POLLIN)

    def _serve(self, door: Door) -> None:
        """One frame of one door, so that all have their turn."""
        try:
            kind, number, deadline, head, body = door.receive()
            if kind == frames.CALL:
                if self._speech is None:
                    self._call(door, number, deadline, head, body)
                else:
                    self._speech.run(partial(self._call_beside, door, number, deadline, head, body))
            elif kind == frames.GENERATE and self._speech is not None:
                self._speech.begin(door, number, deadline, head)
            elif kind == frames.CANCEL and self._speech is not None:
                self._speech.cancel(door, number)
            elif kind == frames.LEAVE:
                self.left = True
                self._drop(door)
            elif kind == frames.ARENAS:
                door.adopt()
            elif self._beside is None or not self._beside.hear(door, kind, number, body):
                raise frames.BadFrame(f"kind {kind}")
        except (Hangup, OSError):
            self._drop(door)
        except frames.BadFrame as error:
            logger.error("a door sent %s: it is disconnected", error)  # noqa: TRY400 - the door's error, not ours
            self._drop(door)

    def _drop(self, door: Door) -> None:
        if self._speech is not None:
            self._speech.forget(door)
        if self._beside is not None:
            self._beside.forget(door)
        fd = door.sock.fileno()
        self._poll.unregister(fd)
        del self._doors[fd]
        door.close()

    def _call(self, door: Door, number: int, deadline: float, head: memoryview, body: memoryview) -> None:
        """Predict, and send the answer, or why there is none."""
        start = monotonic()
        if deadline <= start:
            late = DeadlineExceeded("its time had run out before the model process came to it")
            door.send([frames.problem(number, Problem.of(late))])
            return
        batch, _ = frames.read_batch(head, body, door.calls, copy=False)
        if door.answers is not None:
            door.answers.slate = number
        try:
            answer = self._model.predict(batch)
            if not isinstance(answer, Batch):
                raise ModelFailed(f"the model answered with a {type(answer).__name__}, not a Batch")
            seconds = monotonic() - start
            size = sum(array.nbytes for array in answer.columns.values())
            if size > self._max_answer_bytes:
                limit = f"{self._max_answer_bytes} of max_answer_bytes"
                raise ModelFailed(f"the model answered with {size} bytes, more than the {limit}")
            parts, _ = frames.batch(frames.ANSWER, number, answer, door.answers, seconds=seconds)
        except ServableError as error:
            parts = [frames.problem(number, Problem.of(error))]
        except (Exception, SystemExit) as error:  # the wall: a model may raise anything
            logger.exception("the model raised %s", type(error).__name__)
            told = ModelFailed(f"the model failed with {type(error).__name__}; the server's log has the details")
            parts = [frames.problem(number, Problem.of(told))]
        del batch
        door.send(parts)

    def _call_beside(self, *call: Any) -> None:
        """The same on a thread, among texts that are being made."""
        try:
            self._call(*call)
        except (OSError, frames.BadFrame) as error:
            logger.error("a call could not be answered: %s", error)  # noqa: TRY400 - the door's error, or it is gone


class Door:
    """One connection: its bytes, and the two arenas it gave us. `send` is for any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._sending = threading.Lock()
        self.calls: Arena | None = None
        self.answers: Arena | None = None
        self._fds: list[int] = []

    def receive(self) -> tuple[int, int, float, memoryview, memoryview]:
        """One frame: kind, number, deadline, head, body. Raises Hangup, OSError."""
        header = bytearray(frames.HEADER.size)
        self._fill(memoryview(header))
        kind, head_bytes, body_bytes, number, deadline = frames.HEADER.unpack(header)
        # A new buffer for each call: a model that keeps its input, against the rules, sees it change under nobody.
        data = memoryview(bytearray(head_bytes + body_bytes))
        self._fill(data)
        return kind, number, deadline, data[:head_bytes], data[head_bytes:]

    def _fill(self, target: memoryview) -> None:
        while target:
            size, ancillary, _, _ = self.sock.recvmsg_into([target], socket.CMSG_SPACE(FDS * 4))
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    self._fds += memoryview(data).cast("i").tolist()
            if not size:
                raise Hangup
            target = target[size:]

    def adopt(self) -> None:
        """Take the arenas whose descriptors came with the last frame."""
        if len(self._fds) != FDS:
            raise frames.BadFrame(f"{len(self._fds)} descriptors for two arenas")
        self._close_arenas()
        calls, answers = self._fds
        self._fds = []
        self.calls = Arena.adopt(calls, writable=False)
        self.answers = Arena.adopt(answers, writable=True)

    def send(self, parts: list[bytes | memoryview]) -> None:
        with self._sending:
            if sum(map(len, parts)) <= RECEIVE_BYTES:
                self.sock.sendall(frames.joined(parts))
                return
            for part in parts:
                self.sock.sendall(part)

    def close(self) -> None:
        self._close_arenas()
        self.sock.close()

    def _close_arenas(self) -> None:
        for arena in (self.calls, self.answers):
            if arena is not None:
                arena.close()
        self.calls = self.answers = None
