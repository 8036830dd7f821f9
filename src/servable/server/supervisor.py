"""The supervisor: the parent of the doors. It owns ports, processes and signals, and imports no model library.

It starts one door a slot, replaces those that die or hang, lets them finish on SIGTERM, and rolls changes out on SIGHUP
or at a door's word. Predictions never pass here: while it is busy, or even stopped, the doors answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from servable.engine.plan import Plan
from servable.errors import EnvironmentFault, ServableError
from servable.server.child import Child, reap_orphans
from servable.server.control import Beat, Converged, Failed, Start, Want
from servable.server.desk import Desk
from servable.server.notify import Notifier
from servable.server.policy import Restarts, beat_pause_s, guilty, silence_s
from servable.server.rollout import Rollout, start_failure
from servable.server.sockets import Addresses, Listeners, open_listeners, raise_file_limit
from servable.settings import Settings

logger = logging.getLogger("servable.supervisor")

DOOR: Final = (sys.executable, "-P", "-m", "servable.app")
"""The door's command; `-P` keeps the working directory out of the module path."""

START_EXTENSION_S: Final = 30.0
"""While models load and doors beat, the service manager is asked for this much more time."""

MARGIN_S: Final = 1.0
"""Doors are told to finish this much before the grace is over and they are killed."""


def run(
    settings: Settings,
    resolve: Callable[[], Plan],
    on_ready: Callable[[Addresses], None] = lambda addresses: None,
    command: Sequence[str] = DOOR,
    restarts: Restarts | None = None,
) -> int:
    """Serve until told to stop. Returns 0 after a clean end, 1 if a door had to be killed or failed while ending.

    `resolve` gives the wanted plan, at the start and at every change; `on_ready` is called once, when all doors are
    ready. Raises the ServableError (with its exit code) that kept the server from starting.
    """
    notifier = Notifier()
    raise_file_limit()
    with contextlib.closing(open_listeners(settings)) as listeners:

        async def main() -> int:
            supervisor = Supervisor(settings, resolve, listeners, notifier, on_ready, command, restarts or Restarts())
            return await supervisor.run()

        return asyncio.run(main())


class Supervisor:
    """One server's life. `run` is its story: keep the doors, watch them, and at the end drain them."""

    def __init__(  # noqa: PLR0913, PLR0917 - its parts; only `run` puts them together
        self,
        settings: Settings,
        resolve: Callable[[], Plan],
        listeners: Listeners,
        notifier: Notifier,
        on_ready: Callable[[Addresses], None],
        command: Sequence[str],
        restarts: Restarts,
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._notifier = notifier
        self._on_ready = on_ready
        self._command = command
        self._restarts = restarts
        self._beat_s = beat_pause_s(settings.heartbeat_timeout_s)
        self._children: dict[int, Child] = {}
        self._replaced = dict.fromkeys(range(settings.workers), 0)
        self._rollout = Rollout(resolve, self._living)
        self._desk = Desk(self._rollout, self._living, self._replaced)
        self._tasks: set[asyncio.Task[None]] = set()
        self._planned = asyncio.Event()
        self._proven = asyncio.Event()
        """A door has been ready: the models and the machine are good, so a later death is worth a replacement."""
        self._announced = False
        self._reload_wanted = asyncio.Event()
        self._halt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done at the first signal to stop; fails with what the server cannot go on with."""
        self._forced: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> int:
        """Until a signal, or an error that nobody can serve with."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        try:
            for slot in range(self._settings.workers):
                self._go(self._keep(slot))
            self._go(self._begin())
            self._go(self._watch())
            self._go(self._reloads())
            await self._halt
            return await self._drain()
        finally:
            for task in self._tasks:
                task.cancel()
            for child in self._living():
                child.kill("the server ends")
                child.process.wait()

    # --- the doors

    async def _begin(self) -> None:
        """Doors import their libraries while we find out what they shall serve."""
        await self._rollout.begin()
        self._planned.set()

    async def _keep(self, slot: int) -> None:
        """One door after another in this slot, for as long as the server lives."""
        crashes = 0
        while not self._halt.done():
            born = asyncio.get_running_loop().time()
            end = await self._one_life(slot)
            if self._halt.done():
                return
            crashes = self._restarts.crashes(crashes, asyncio.get_running_loop().time() - born)
            pause_s = self._restarts.pause_s(crashes)
            self._replaced[slot] += 1
            again = f"in {pause_s:g} s" if pause_s else "now"
            logger.error("door %d %s; the next starts %s", slot, end, again, extra={"event": "door_died", "door": slot})
            await asyncio.sleep(pause_s)

    async def _one_life(self, slot: int) -> str:
        """Start a door and wait for its end. Returns how it ended; raises if no door has ever been ready."""
        try:
            fds = tuple(sock.fileno() for sock in self._listeners.http[slot])
            child = await Child.spawn(slot, self._command, fds)
        except OSError as error:
            if not self._proven.is_set():
                raise EnvironmentFault(f"cannot start a door process: {error}") from error
            return f"could not be started: {error}"
        self._children[slot] = child
        child.heard = self._go(self._hear(child))
        facts = {"event": "door_started", "door": slot, "pid": child.pid}
        logger.info("door %d started (pid %d)", slot, child.pid, extra=facts)
        await self._planned.wait()
        if self._halt.done():
            child.kill("stopped before it had started")
        else:
            child.start(Start(self._settings, self._rollout.plan, slot, fds, self._listeners.grpc_port, self._beat_s))
        await child.end()
        if not self._proven.is_set() and not self._halt.done():
            if child.failure is not None:
                raise child.failure.error()
            raise ServableError(f"door {slot} {child.obituary()} before it was ready: the server cannot start")
        return child.obituary()

    async def _hear(self, child: Child) -> None:
        """Take a door's messages, in order, until it hangs up."""
        async for message in child.channel:
            match message:
                case Beat():
                    self._on_beat(child, message)
                case Converged():
                    child.settle(message)
                    if message.failures and not self._proven.is_set():
                        raise start_failure(message.failures)
                case Failed():
                    child.failure = message.error
                case Want():
                    self._go(self._answer(child, message))
                case _:
                    logger.error("door %d sent a %s, which is not for us", child.slot, type(message).__name__)

    def _on_beat(self, child: Child, beat: Beat) -> None:
        was_ready = child.ready
        child.beat(beat)
        if child.ready != was_ready and not self._halt.done():
            facts = {"event": "door_ready" if child.ready else "door_not_ready", "door": child.slot, "pid": child.pid}
            if child.ready:
                after_s = asyncio.get_running_loop().time() - child.born
                logger.info("door %d is ready (%.2f s after its start)", child.slot, after_s, extra=facts)
            else:
                why = "; ".join(f"{s.name}:{s.version} {s.state} {s.reason}".rstrip() for s in beat.states)
                logger.warning("door %d is not ready: %s", child.slot, why or "it does not say why", extra=facts)
        ready = sum(child.ready for child in self._living())
        if ready:
            self._proven.set()
        if ready == self._settings.workers and not self._announced:
            self._announced = True
            self._notifier.ready()
            self._on_ready(self._listeners.addresses())
        if not self._halt.done():
            self._notifier.status(f"{ready} of {self._settings.workers} doors ready")

    async def _watch(self) -> None:
        """Kill what is silent or stuck, and be alive for the service manager's own watchdog while any door is.

        Any, not all: a restart of the whole service would take the good doors with it, and mend the sick one no better.
        """
        loop = asyncio.get_running_loop()
        pause_s = min(self._beat_s, self._notifier.watchdog_s / 2 or self._beat_s)
        looked = loop.time()
        while not self._halt.done():
            await asyncio.sleep(pause_s)
            elapsed_s, looked = loop.time() - looked, loop.time()
            for child in self._living():
                child.silent_s = silence_s(child.silent_s, elapsed_s, pause_s)
                limit_s = self._settings.heartbeat_timeout_s
                if blame := guilty(child.silent_s, child.stuck, limit_s, beaten=child.beaten):
                    child.kill(blame)
            if any(child.beaten for child in self._living()):
                self._notifier.alive()
                if not self._announced:
                    self._notifier.still_starting(START_EXTENSION_S)

    async def _drain(self) -> int:
        """Let the doors finish what they accepted; kill those that do not within the grace, or at a second signal."""
        delay_s, grace_s = self._settings.drain_delay_s, self._settings.grace_s
        self._notifier.stopping(delay_s + grace_s + MARGIN_S)
        self._notifier.status("stopping")
        children = self._living()
        logger.info("stopping: %d doors finish their requests", len(children), extra={"event": "stopping"})
        for child in children:
            child.drain(delay_s, max(grace_s - MARGIN_S, grace_s * 0.8))
        self._listeners.close()
        ended = asyncio.gather(*(child.exited for child in children))
        await asyncio.wait((ended, self._forced), timeout=delay_s + grace_s, return_when=asyncio.FIRST_COMPLETED)
        for child in (child for child in children if child.alive):
            child.kill("a second signal" if self._forced.done() else f"not finished within {grace_s:g} s")
        bad = False
        for child in children:
            code = await child.end()
            if code != 0 and child.beaten:
                bad = True
                logger.error("door %d %s while stopping", child.slot, child.obituary())
        logger.info("stopped", extra={"event": "stopped"})
        return int(bad)

    def _living(self) -> list[Child]:
        return [child for _, child in sorted(self._children.items()) if child.alive]

    # --- words from outside

    def _terminate(self, number: int) -> None:
        logger.info("%s received", signal.Signals(number).name)
        if not self._halt.done():
            self._halt.set_result(None)
        elif not self._forced.done():
            self._forced.set_result(None)

    def _reap(self) -> None:
        for child in self._children.values():
            child.reap()
        if os.getpid() == 1:
            reap_orphans({child.pid for child in self._living()})

    async def _reloads(self) -> None:
        """At each SIGHUP; those that come while one is being worked on become one more."""
        while True:
            await self._reload_wanted.wait()
            await self._proven.wait()
            self._reload_wanted.clear()
            if self._announced:
                self._notifier.reloading()
            try:
                await self._rollout.reload()
                logger.info("reloaded", extra={"event": "reloaded"})
            except ServableError as error:
                facts = {"event": "reload_failed"}
                logger.error("reload: %s", error.message, extra=facts)  # noqa: TRY400 - the operator's error, not ours
            if self._announced:
                self._notifier.ready()

    async def _answer(self, child: Child, want: Want) -> None:
        child.channel.send(await self._desk.reply(want))

    # --- tasks

    def _go(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run beside; an error that it does not handle ends the server."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._gone)
        return task

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if self._halt.done():
            logger.error("while stopping: %s", error, exc_info=error)
        else:
            self._halt.set_exception(error)
