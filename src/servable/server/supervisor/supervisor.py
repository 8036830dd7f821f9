"""The supervisor: the parent of the doors. It owns ports, processes and signals, and imports no model library.

SIGTERM and SIGINT let the doors finish and end the server, a second one forces it; SIGHUP loads all models anew.
Predictions never pass here: while it is busy, or even stopped, the doors answer.
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
from servable.errors import ServableError
from servable.server.control import Notice, Want
from servable.server.supervisor.child import Child, reap_orphans
from servable.server.supervisor.controller import Controller
from servable.server.supervisor.desk import Desk
from servable.server.supervisor.doors import Doors
from servable.server.supervisor.follower import Declared, Follower
from servable.server.supervisor.lease import lease
from servable.server.supervisor.notify import Notifier
from servable.server.supervisor.policy import Restarts
from servable.server.supervisor.processes import Processes
from servable.server.supervisor.rollout import Rollout
from servable.server.supervisor.sockets import Addresses, Listeners, open_listeners, raise_file_limit
from servable.settings import Settings

logger = logging.getLogger("servable.supervisor")

DOOR: Final = (sys.executable, "-P", "-m", "servable.app")
"""The door's command; `-P` keeps the working directory out of the module path."""

START_EXTENSION_S: Final = 30.0
"""While models load and doors beat, the service manager is asked for this much more time."""

PROCESS_RESTARTS: Final = Restarts(first_s=0.5, longest_s=60.0, stable_s=10.0)
"""Model processes load more than doors do, so those that die again and again wait longer; and any input may kill one,
so those that worked for a while are forgiven sooner."""

MARGIN_S: Final = 1.0
"""Doors are told to finish this much before the grace is over and they are killed."""


def run(
    settings: Settings,
    resolve: Callable[[], Plan],
    on_ready: Callable[[Addresses], None] = lambda _: None,
    command: Sequence[str] = DOOR,
    restarts: Restarts | None = None,
    declared: Declared | None = None,
) -> int:
    """Serve until told to stop. Returns 0 after a clean end, 1 if a door had to be killed or failed while ending.

    `resolve` gives the wanted plan, at the start and at every change; `on_ready` is called once, when all doors are
    ready; `declared` tells when names are declared otherwise than before. Raises the ServableError (with its exit
    code) that kept the server from starting.
    """
    notifier = Notifier()
    raise_file_limit()
    held = lease(settings.home_path, settings.host, settings.http_port)
    with contextlib.closing(open_listeners(settings)) as listeners, held:

        async def main() -> int:
            rollout = Rollout(resolve)
            doors = Doors(settings, listeners, command, restarts or Restarts(), lambda: rollout.plan)
            rollout.doors = doors.living
            processes = Processes(settings, restarts or PROCESS_RESTARTS)
            follower = Follower(rollout, declared)
            return await Supervisor(settings, listeners, notifier, doors, processes, follower, on_ready=on_ready).run()

        return asyncio.run(main())


class Supervisor:
    """One server's life. `run` is its story: keep the doors, watch them, and at the end drain them."""

    def __init__(
        self,
        settings: Settings,
        listeners: Listeners,
        notifier: Notifier,
        doors: Doors,
        processes: Processes,
        follower: Follower,
        *,
        on_ready: Callable[[Addresses], None],
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._notifier = notifier
        self._doors = doors
        self._processes = processes
        self._rollout = follower.rollout
        self._on_ready = on_ready
        self._follower = follower
        self._desk = Desk(follower.rollout, doors.living, doors.replaced, processes, follower)
        self._controller = Controller(settings, follower.rollout, self._desk.reply)
        self._tasks: set[asyncio.Task[None]] = set()
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
        self._doors.on_beat = self._announce
        self._doors.on_want = lambda door, want: self._go(self._answer(door, want))
        self._processes.on_notice = self._tell
        try:
            for slot in range(self._settings.workers):
                self._go(self._doors.keep(slot))
            self._go(self._begin())
            self._go(self._watch())
            self._go(self._reload())
            self._go(self._follow())
            await self._halt
            return await self._drain()
        finally:
            self._cancel()
            self._doors.kill()
            self._processes.kill()
            self._controller.kill()

    async def _begin(self) -> None:
        """Doors import their libraries while we find out what they shall serve."""
        await self._rollout.begin()
        self._doors.planned.set()

    def _announce(self) -> None:
        """Tell the world when all doors are ready for the first time, and the service manager how many are."""
        if self._halt.done():
            return
        ready = self._doors.ready()
        if ready == self._settings.workers and not self._announced:
            self._announced = True
            self._notifier.ready()
            try:
                self._on_ready(self._listeners.addresses())
            except OSError as error:  # nobody reads what we print: no reason not to serve
                logger.warning("the addresses could not be told: %s", error)
        self._notifier.status(f"{ready} of {self._settings.workers} doors ready")

    async def _watch(self) -> None:
        """Look after the doors, and be alive for the service manager's own watchdog while any door is.

        Any, not all: a restart of the whole service would take the good doors with it, and mend the sick one no better.
        """
        loop = asyncio.get_running_loop()
        pause_s = min(self._doors.beat_s, self._notifier.watchdog_s / 2 or self._doors.beat_s)
        looked = loop.time()
        while True:
            await asyncio.sleep(pause_s)
            elapsed_s, looked = loop.time() - looked, loop.time()
            self._doors.look(elapsed_s, pause_s)
            self._processes.look(elapsed_s, pause_s)
            if any(child.beaten for child in self._doors.living()):
                self._notifier.alive()
                if not self._announced:
                    self._notifier.still_starting(START_EXTENSION_S)

    async def _reload(self) -> None:
        """At each SIGHUP; those that come while one is being worked on become one more."""
        while True:
            await self._reload_wanted.wait()
            await self._doors.proven.wait()
            self._reload_wanted.clear()
            if self._announced:
                self._notifier.reloading()
            try:
                await self._rollout.reload()
                logger.info("reloaded", extra={"event": "reloaded"})
            except ServableError as error:
                facts = {"event": "reload_failed"}
                logger.error("reload: %s", error.message, extra=facts)  # noqa: TRY400 - the operator's error, not ours
            except Exception:  # the wall: what stands, stands, and serves on
                logger.exception("reload: an error of the server itself", extra={"event": "reload_failed"})
            if self._announced:
                self._notifier.ready()

    async def _follow(self) -> None:
        await self._doors.proven.wait()
        if self._follower.declared is not None:
            self._go(self._controller.keep())
            await self._follower.keep_on(self._follower.declared)

    async def _answer(self, door: Child, want: Want) -> None:
        door.channel.send(await self._desk.reply(want))

    async def _drain(self) -> int:
        """No more changes and replacements. After the delay nobody new gets in, and the doors finish."""
        self._doors.stopping = True
        self._cancel()
        delay_s, grace_s = self._settings.drain_delay_s, self._settings.grace_s
        self._notifier.stopping(delay_s + grace_s + MARGIN_S)
        self._notifier.status("stopping")
        logger.info("stopping: the doors finish their requests", extra={"event": "stopping"})
        asyncio.get_running_loop().call_later(delay_s, self._listeners.close)
        finish_s = max(grace_s - MARGIN_S, grace_s * 0.8)
        over_at = asyncio.get_running_loop().time() + delay_s + grace_s
        clean = await self._doors.drain(delay_s, finish_s, grace_s, self._forced)
        left_s = over_at - asyncio.get_running_loop().time()
        await self._processes.stop(0.0 if self._forced.done() else max(left_s, MARGIN_S / 2))
        logger.info("stopped", extra={"event": "stopped"})
        return 0 if clean else 1

    def _tell(self, notice: Notice) -> None:
        for door in self._doors.living():
            door.channel.send(notice)

    def _terminate(self, number: int) -> None:
        logger.info("%s received", signal.Signals(number).name)
        if not self._halt.done():
            self._halt.set_result(None)
        elif not self._forced.done():
            self._forced.set_result(None)

    def _reap(self) -> None:
        self._doors.reap()
        self._processes.reap()
        self._controller.reap()
        if os.getpid() == 1:
            doors = {child.pid for child in self._doors.living()}
            reap_orphans(doors | self._processes.pids() | self._controller.pids())

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside, until it ends or the server stops; an error that it does not handle ends the server."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if self._halt.done():
            logger.error("while stopping: %s", error, exc_info=error)
        else:
            self._halt.set_exception(error)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
