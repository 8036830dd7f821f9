"""Door: one process that answers. HTTP and gRPC on ports it shares with its siblings, over one host of models.

It does what the supervisor says over the control channel, and exits when that channel closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, Protocol, cast

import uvicorn
from uvicorn._types import ASGIApplication

from servable.engine.garbage import settle
from servable.engine.host import Host
from servable.engine.plan import Plan
from servable.server.control import Answer, Ask, Beat, Channel, Converge, Converged, Drain, Notice, Start
from servable.server.http.limited import DoorState
from servable.server.http.protocol import DoorProtocol

SWEEP_S: Final = 1.0

HOLD_S: Final = 5.0
"""How long a door that starts lets callers wait for its models, before it tells them that it is not ready."""

LINGER_S: Final = 0.5
"""How long a door that ends goes on answering on connections that are kept open."""

LINGER_TURNS: Final = 10

logger = logging.getLogger("servable.server")


class GrpcPort(Protocol):
    """What a Door needs of the gRPC door."""

    async def start(self, sockets: Sequence[socket.socket]) -> None: ...

    async def drain(self, grace_s: float) -> None: ...


class Door:
    """Runs until it is drained or its supervisor is gone."""

    def __init__(  # noqa: PLR0913, PLR0917 - its parts; only `app` puts them together
        self,
        start: Start,
        channel: Channel,
        host: Host,
        state: DoorState,
        app: ASGIApplication,
        grpc: GrpcPort | None,
        snapshot: Callable[[], dict[str, Any]],
        every_second: Callable[[], None],
    ) -> None:
        self._start = start
        self._channel = channel
        self._host = host
        self._state = state
        self._grpc = grpc
        self._snapshot = snapshot
        self._every_second = every_second
        self._settings = start.settings
        self._tasks: set[asyncio.Task[Any]] = set()
        config = uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", functools.partial(DoorProtocol, state)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=int(self._settings.keep_alive_s),
            timeout_graceful_shutdown=max(int(self._settings.grace_s), 1),
            backlog=4096,
        )
        self._server = _Server(config)

    async def run(self) -> int:
        """Serve. Returns the exit code: 0 if everything accepted was answered."""
        start = self._start
        sockets = [socket.socket(fileno=fd) for fd in start.http_fds]
        grpc_sockets = [socket.socket(fileno=fd) for fd in start.grpc_fds]
        beating = self._spawn(self._beat())
        converging = self._spawn(self._converge(start.plan, 0))
        # Callers wait in the queue of the port, which outlives doors, rather than hear "not ready" while one is
        # replaced. When loading takes longer the ports open without the models, and probes get a word.
        await asyncio.wait((converging,), timeout=HOLD_S)
        serving = self._spawn(self._server.serve(sockets=sockets))
        if self._grpc is not None:
            await self._grpc.start(grpc_sockets)
        sweeping = self._spawn(self._sweep())
        async for message in self._channel:
            match message:
                case Converge(plan, number):
                    self._spawn(self._converge(plan, number))
                case Ask("stats", number):
                    self._channel.send(Answer(number, self._snapshot()))
                case Notice(address, reason, retry_after_s):
                    self._host.note(address, reason, retry_after_s)
                case Drain(delay_s, timeout_s):
                    await self._drain(delay_s, timeout_s, serving)
                    break
        else:
            self._server.should_exit = True  # the supervisor is gone: nobody would restart or stop us
            await serving
        for task in (beating, sweeping):
            task.cancel()
        return 1 if self._server.server_state.connections else 0

    async def _converge(self, plan: Plan, number: int) -> None:
        states = await self._host.converge(plan)
        settle()
        failures = tuple(state for state in states if state.state != "READY")
        self._channel.send(Beat(self._host.ready, states=failures))
        self._channel.send(Converged(number, tuple(states), self._host.failures()))

    async def _drain(self, delay_s: float, timeout_s: float, serving: asyncio.Task[Any]) -> None:
        """Not ready; then every answer ends its connection; then the ports close. The models go last.

        The supervisor lets no new connection into the ports when the delay is over. Those that wait there, and those
        that are kept open and in use, get an answer while we linger; what is idle after that is closed.
        """
        self._host.refuse_new()
        await asyncio.sleep(delay_s)
        self._state.draining = True
        grpc = self._spawn(self._grpc.drain(timeout_s)) if self._grpc is not None else None
        for _ in range(LINGER_TURNS):
            await asyncio.sleep(LINGER_S / LINGER_TURNS)
            if not self._server.server_state.connections:
                break
        self._server.config.timeout_graceful_shutdown = max(int(timeout_s - LINGER_S), 1)
        self._server.should_exit = True
        await serving
        if grpc is not None:
            await grpc
        await self._host.drain(LINGER_S)

    async def _beat(self) -> None:
        while True:
            busy_s = self._host.stuck_s()
            stuck = f"a model call has been running for {busy_s:.0f} s" if busy_s > self._settings.stuck_after_s else ""
            unready = tuple(state for state in self._host.states() if state.state != "READY")
            self._channel.send(Beat(self._host.ready, stuck, unready))
            await asyncio.sleep(self._start.beat_s)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            now = loop.time()
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, DoorProtocol):
                    connection.sweep(now)
            self._every_second()

    def _spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.critical("the door cannot go on", exc_info=task.exception())
            self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the supervisor speaks for the whole."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
