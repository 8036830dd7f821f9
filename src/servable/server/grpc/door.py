"""The gRPC door: HTTP/2 on the loop of the HTTP door, over the same models.

`rpcs.py` names every method and the role it demands; what is not in it does not exist, and each call passes `_admit`.
Predictions are `infer.py`; what describes and manages is `methods.py`; the protocol below is `call.py`,
on `http2/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from time import monotonic
from typing import Any, Final

from google.protobuf.message import DecodeError, Message

from servable.engine.host import Host
from servable.engine.router import Router
from servable.errors import DeadlineExceeded, InvalidInput, ServableError, Unsupported
from servable.server.access.access import ANONYMOUS, Access, Principal
from servable.server.grpc.call import Call, Head, read_head
from servable.server.grpc.infer import InferStream, Predictions
from servable.server.grpc.methods import HEALTH, SERVICE, Methods
from servable.server.grpc.rpcs import ACTS, BY_PATH, INFER, OPEN, Answer, Rpc
from servable.server.grpc.status import unexpected
from servable.server.http2.connection import Connection
from servable.server.http2.stream import Stream
from servable.server.repository import Repository
from servable.settings import Settings

BACKLOG: Final = 4096
SWEEP_S: Final = 1.0
LINGER_S: Final = 0.1
"""How long a door that drains takes up who waits in the queue of its port."""


class GrpcDoor:
    """`start`, then `drain`. All methods are for the event loop that it answers on."""

    def __init__(
        self,
        router: Router,
        host: Host,
        access: Access,
        repository: Repository,
        settings: Settings,
        offers: Sequence[tuple[Rpc, Answer]] = (),
    ) -> None:
        """`offers` are methods of shelves, and what answers them."""
        self._access = access
        self._offers = {rpc.path: (rpc, answer) for rpc, answer in offers}
        self._settings = settings
        self._draining = asyncio.Event()
        self._methods = Methods(router, host, repository, self._draining)
        self._predictions = Predictions(router, settings.deadline_s, self._admit_infer)
        self._connections: set[Connection] = set()
        self._emptied = asyncio.Event()
        """Draining, and the last connection is closed."""
        self._streams: set[InferStream] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None

    # ---- the door

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accept from these sockets, which listen already."""
        loop = asyncio.get_running_loop()
        for sock in sockets:
            _prepare(sock)
            self._servers.append(await loop.create_server(self._connection, sock=sock, backlog=BACKLOG))
        self._sweep()

    async def drain(self, grace_s: float) -> None:
        """Finish the calls under way within `grace_s`, and close. Who waits to be let in is still answered once."""
        self._draining.set()
        for connection in list(self._connections):
            connection.drain()
        for stream in list(self._streams):
            stream.stop()
        await asyncio.sleep(min(LINGER_S, grace_s))
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.drain()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._emptied.wait()
        for connection in list(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _connection(self) -> Connection:
        return Connection(self, self._settings, self._opened, self._closed)

    def _opened(self, connection: Connection) -> bool:
        self._connections.add(connection)
        self._emptied.clear()
        if self._draining.is_set():
            connection.drain()
        return len(self._connections) <= self._settings.max_connections

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._draining.is_set() and not self._connections:
            self._emptied.set()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(SWEEP_S, self._sweep)
        now = monotonic()
        for connection in list(self._connections):
            connection.sweep(now)

    # ---- every call (an http2.Service)

    def read_head(self, headers: list[tuple[bytes, bytes]]) -> Head:
        return read_head(headers)

    def open(self, stream: Stream, head: Head) -> Call:
        """A call comes in."""
        offered = self._offers.get(head.path)
        rpc = BY_PATH.get(head.path) if offered is None else offered[0]
        if rpc is INFER and head.problem is None and head.is_grpc:
            call = Call(stream, head, self._settings)
            _once(call, self._predictions.infer)
            return call
        call = Call(stream, head, self._settings, streaming=rpc is not None and rpc.answered_by == "stream_infer")
        if not head.is_grpc:
            call.fail(
                InvalidInput(
                    "this port speaks gRPC: POST with the content type application/grpc; for REST see the HTTP port"
                )
            )
        elif rpc is None:
            call.fail(Unsupported(f"no method {head.path[:200]!r}: see the services {SERVICE} and {HEALTH}"))
        elif head.problem is not None:
            call.fail(head.problem)
        elif rpc.answered_by == "stream_infer":
            self._streams.add(InferStream(self._predictions, call, self._streams.discard))
        elif rpc.answered_by == "health_watch":
            _once(call, lambda message, call: self._spawn(call, lambda: self._watch(rpc, message, call)))
        else:
            answer = getattr(self._methods, rpc.answered_by) if offered is None else offered[1]
            _once(call, lambda message, call: self._spawn(call, lambda: self._unary(rpc, answer, message, call)))
        return call

    def _admit(self, rpc: Rpc, model: str, call: Call) -> Principal:
        """The caller, if they may. The only place where a call is let in."""
        if rpc.role == OPEN or not self._access.required:
            return ANONYMOUS
        return self._access.check(call.head.token, rpc.role, model or None, rpc.path, call.peer)

    def _admit_infer(self, model: str, call: Call) -> None:
        if self._access.required:
            self._admit(INFER, model, call)

    def _spawn(self, call: Call, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Answer in a task of its own, which ends when the caller goes or its deadline comes."""

        async def answer() -> None:
            try:
                async with asyncio.timeout_at(call.deadline):
                    await work()
            except TimeoutError:
                call.fail(DeadlineExceeded("no answer by the deadline of this call"))
            except ServableError as error:
                call.fail(error)
            except Exception as error:  # noqa: BLE001 - the wall: a caller gets a status, never a traceback
                call.fail(unexpected(error))

        task = asyncio.ensure_future(answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def gone() -> None:
            task.cancel()

        call.on_gone = gone

    def _read(self, rpc: Rpc, message: bytes, call: Call) -> tuple[Any, Principal]:
        """The message, and the caller, if they may send it."""
        try:
            request = rpc.message.FromString(message)
        except DecodeError as error:
            raise InvalidInput(f"the message is not a valid {rpc.message.DESCRIPTOR.full_name}") from error
        return request, self._admit(rpc, getattr(request, rpc.model) if rpc.model else "", call)

    async def _unary(
        self, rpc: Rpc, answer: Callable[[Any, Principal], Awaitable[Message]], message: bytes, call: Call
    ) -> None:
        request, caller = self._read(rpc, message, call)
        result = "failed"
        try:
            reply = await answer(request, caller)
            result = "done"
        except ServableError as error:
            result = error.code
            raise
        finally:
            if rpc.role in ACTS and self._access.audit is not None:
                act = f"{rpc.name} {getattr(request, rpc.model) if rpc.model else ''}".rstrip()
                await asyncio.to_thread(self._access.audit.act, caller.name, act, call.peer, result)
        call.reply(reply.SerializeToString())

    async def _watch(self, rpc: Rpc, message: bytes, call: Call) -> None:
        async for answer in self._methods.health_watch(*self._read(rpc, message, call)):
            call.send(answer.SerializeToString())
        call.succeed()


def _once(call: Call, answer: Callable[[bytes, Call], None]) -> None:
    """Have a call answered that sends one message, when it is whole and the caller has ended."""
    messages: list[bytes] = []

    def end() -> None:
        if len(messages) == 1:
            answer(messages.pop(), call)
        else:
            call.fail(InvalidInput(f"this method takes one message, and {len(messages) or 'none'} came"))

    call.on_message = messages.append
    call.on_end = end


def _prepare(sock: socket.socket) -> None:
    """What accepted sockets inherit: answers leave at once; who is silent for a minute is asked for a sign of life."""
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
