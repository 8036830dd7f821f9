"""The wire between the supervisor and a door: messages as JSON lines over a Unix socketpair.

Neither side trusts the other to be alive: a closed channel ends every wait. Not for other machines, not for tensors.
The parent sends Start, Converge, Drain, Ask, Reply, Notice; a door sends Beat, Converged, Failed, Answer, Want. What is
said to a model process and by it stands in `engine/process/messages.py`.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any, Final, Literal, cast

import msgspec

from servable.domain.problem import Problem
from servable.engine.plan import Plan, State
from servable.engine.process.messages import Down, Load, Pulse, Retire, Up
from servable.settings import Settings

logger = logging.getLogger("servable.control")

PR_SET_PDEATHSIG: Final = 1
MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""No message is longer. A model process that is hostile must not fill the supervisor's memory."""


class Start(msgspec.Struct, frozen=True, tag=True):
    """The first message to a door: all it needs. It answers `Converged(0, ...)` once the plan stands or has failed.

    `http_fds` and `grpc_fds` are listening sockets that it inherited; without the latter there is no gRPC. A Beat is
    due every `beat_s`.
    """

    settings: Settings
    plan: Plan
    slot: int
    http_fds: tuple[int, ...]
    grpc_fds: tuple[int, ...]
    beat_s: float


class Converge(msgspec.Struct, frozen=True, tag=True):
    """Bring the host to this plan and answer Converged. Whatever fails to load leaves what served before serving."""

    plan: Plan
    id: int = 0


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Turn not-ready, go on for `delay_s`, then take no more, finish what was accepted within `timeout_s`, exit 0."""

    delay_s: float
    timeout_s: float


class Ask(msgspec.Struct, frozen=True, tag=True):
    """A question to the door (`stats`); it answers Answer."""

    what: str
    id: int = 0


class Reply(msgspec.Struct, frozen=True, tag=True):
    """What became of a Want."""

    id: int
    data: Any = None
    error: Problem | None = None


class Beat(msgspec.Struct, frozen=True, tag=True):
    """The door's loop turns. `stuck` says what hangs, if anything does; `states` are those that are not READY."""

    ready: bool
    stuck: str = ""
    states: tuple[State, ...] = ()


class Converged(msgspec.Struct, frozen=True, tag=True):
    """The state of every version, in this door.

    `failures` are targets of the plan that could not be brought up, also where an older generation still answers.
    """

    id: int
    states: tuple[State, ...]
    failures: tuple[State, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag=True):
    """This door cannot serve at all and is about to exit."""

    error: Problem


class Answer(msgspec.Struct, frozen=True, tag=True):
    """To an Ask."""

    id: int
    data: Any


class Want(msgspec.Struct, frozen=True, tag=True):
    """A caller of this door's API wants a change of, or a word from, the whole server. The parent answers Reply.

    load, unload, follow (of `model`), reload: the reply is a list of State. `follow` takes up what is declared of it
    now without loading anew what is loaded. stats: a list of what each door answered.
    doors: a list of facts about each door process.
    process: where the model process of a version listens, started if there is none (parameters: a Launch; reply:
    Hosted).
    processes: a list of facts about each model process.
    stuck: that process does not answer and must be killed (parameters: its `pid`).
    """

    action: Literal["load", "unload", "follow", "reload", "stats", "doors", "process", "processes", "stuck"]
    model: str | None = None
    parameters: dict[str, Any] = {}
    id: int = 0


class Notice(msgspec.Struct, frozen=True, tag=True):
    """To a door: the model process at this address has died, and is not back before `retry_after_s`."""

    address: str
    reason: str
    retry_after_s: float


Question = Converge | Ask | Want
Reaction = Converged | Answer | Reply
Message = (
    Start | Converge | Drain | Ask | Reply | Notice | Beat | Converged | Failed | Answer | Want
    | Load | Retire | Up | Down | Pulse
)  # fmt: skip

_encode = msgspec.json.Encoder().encode
_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message)


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel(asyncio.Protocol):
    """One end. Reactions go to whoever asked; all else is iterated over, in order, until the other side is gone."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._partial: list[bytes] = []
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()

    @staticmethod
    async def open(sock: socket.socket) -> Channel:
        """A channel over one end of a socketpair, which it then owns."""
        _, channel = await asyncio.get_running_loop().create_unix_connection(Channel, sock=sock)
        return channel

    @property
    def closed(self) -> bool:
        return self._transport is None

    def send(self, message: Message) -> None:
        """Queue a message. To a closed channel it is dropped: the other side's end is noticed elsewhere."""
        if self._transport is not None:
            self._transport.write(_encode(message) + b"\n")

    async def ask(self, question: Question, timeout_s: float | None = None) -> Any:
        """Send a question under an id of its own and wait for its Reaction. Raises ChannelClosed, TimeoutError."""
        if self._transport is None:
            raise ChannelClosed
        number = next(self._ids)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self.send(msgspec.structs.replace(question, id=number))
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            del self._asked[number]

    async def want(self, action: Want) -> Any:
        """A door's Want, and the data of its Reply. Raises the ServableError that the parent replied."""
        reply: Reply = await self.ask(action)
        if reply.error is not None:
            raise reply.error.error()
        return reply.data

    async def __aiter__(self) -> AsyncIterator[Message]:
        while (message := await self._inbox.get()) is not None:
            yield message

    async def ended(self) -> None:
        """Return once the other side is gone. For whoever is told nothing more than answers."""
        async for _ in self:
            pass

    def close(self) -> None:
        """Send what is queued, then hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of a stream; uvloop's transports do not inherit from asyncio's, so there is no asking.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._partial, lines[0]))
            self._partial = []
        if rest:
            self._partial.append(rest)
            if sum(map(len, self._partial)) > MAX_LINE_BYTES:
                logger.error("a control message of more than %d bytes: its sender is hung up on", MAX_LINE_BYTES)
                self._partial = []
                self.close()
        for line in lines:
            try:
                message = _decoder.decode(line)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                # A door of a newer installation may know more words: it is watched by its Beats, not by its vocabulary.
                logger.error("a control message was not understood: %s: %.200r", error, line)  # noqa: TRY400 - no fault of ours
                continue
            self._take(message)

    def _take(self, message: Message) -> None:
        if isinstance(message, Reaction) and message.id:
            answer = self._asked.get(message.id)
            if answer is not None and not answer.done():
                answer.set_result(message)
        else:
            self._inbox.put_nowait(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's; why it ended changes nothing
        self._transport = None
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ChannelClosed())
        self._inbox.put_nowait(None)


def die_with_parent() -> None:
    """Called by a door first of all: the kernel kills it when the supervisor dies.

    Elsewhere than on Linux nothing happens: the door must exit when its channel closes, which it does anyway.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
