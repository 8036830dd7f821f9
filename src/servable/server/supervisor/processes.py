"""Processes: every model process of this server, one for each version that needs one, however many doors ask for it.

It imports no model library and opens no bundle: a door says what it needs, `hosting.py` keeps it alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from servable.engine.process.messages import Hosted, Launch
from servable.errors import EnvironmentFault, NotReady, UsageError
from servable.sandbox.environment import environment
from servable.server.control import Notice
from servable.server.supervisor.environments import interpreter
from servable.server.supervisor.hosting import LAST_SNAPSHOT_S, Hosting
from servable.server.supervisor.policy import Restarts
from servable.server.supervisor.run_folder import RunFolder
from servable.settings import Settings

logger = logging.getLogger("servable.supervisor")


class Processes:
    """All methods are for the supervisor's event loop. `on_notice` is called with what all doors should know."""

    def __init__(self, settings: Settings, restarts: Restarts) -> None:
        self._settings = settings
        self._restarts = restarts
        self._folder: RunFolder | None = None
        self._table: dict[Launch, Hosting] = {}
        self._ending: set[Hosting] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._asking: dict[Launch, asyncio.Lock] = {}
        self._count = 0
        self._stopped = False
        self.on_notice: Callable[[Notice], None] = lambda _: None

    async def obtain(self, parameters: Any) -> Hosted:
        """Where the process of this version listens; started if there is none. `parameters` are a Launch, as it came
        from a door. Raises what kept the model from loading.
        """
        try:
            launch = msgspec.convert(parameters, Launch)
        except msgspec.ValidationError as error:
            raise UsageError(f"a door asks for a model process in words that are not understood: {error}") from error
        async with self._asking.setdefault(launch, asyncio.Lock()):
            hosting = self._table.get(launch)
            if hosting is None:
                hosting = await self._begin(launch)
        try:
            return await asyncio.shield(hosting.hosted)
        except BaseException:
            if hosting.hosted.done():
                await self._end(hosting)
            raise

    async def _begin(self, launch: Launch) -> Hosting:
        for other in [other for other in self._ending if other.launch == launch]:
            await other.stopped.wait()  # a learner's journal has one writer
        try:
            python, environ = await asyncio.to_thread(
                interpreter, launch, self._settings.home_path, environment(), self._home()
            )
            if self._stopped:
                raise NotReady("the server is shutting down")
            self._count += 1
            folder = self._home() / str(self._count)
            hosting = Hosting(launch, folder, self._settings, self._restarts, python, environ, self._down)
        except OSError as error:
            raise EnvironmentFault(f"cannot start a model process for {launch.target.name}: {error}") from error
        self._table[launch] = hosting
        self._go(hosting.keep())
        return hosting

    def _home(self) -> Path:
        if self._folder is None:
            self._folder = RunFolder()
        return self._folder.path

    def _down(self, hosting: Hosting, reason: str, retry_after_s: float) -> None:
        self.on_notice(Notice(hosting.address, reason, retry_after_s))

    def stuck(self, parameters: Any) -> None:
        """A door says that the process of this `pid` does not answer: kill it, if it is one of ours."""
        pid = parameters.get("pid") if isinstance(parameters, dict) else None
        for hosting in self._table.values():
            if isinstance(pid, int) and hosting.kill(pid, "a call did not end in time"):
                return

    def look(self, elapsed_s: float, pause_s: float) -> None:
        """Look after all. Called every `pause_s`."""
        for hosting in list(self._table.values()):
            hosting.look(elapsed_s, pause_s)
            if hosting.unused and hosting.hosted.done():
                self._go(self._end(hosting))

    def reap(self) -> None:
        """At SIGCHLD."""
        for hosting in self._all():
            hosting.reap()

    def pids(self) -> set[int]:
        """Of all that live."""
        return {child.pid for hosting in self._all() for child in hosting.children}

    def _all(self) -> list[Hosting]:
        return [*self._table.values(), *self._ending]

    def facts(self) -> list[dict[str, Any]]:
        """One line a process, for whoever looks after the server."""
        return [
            {
                "model": hosting.launch.target.name,
                "version": hosting.launch.target.version,
                "slot": hosting.launch.slot,
                "pid": hosting.child.pid if hosting.child is not None and hosting.child.alive else None,
                "restarted": hosting.restarted,
                "sandbox": list(hosting.hosted.result().up.layers) if _good(hosting) else [],
            }
            for hosting in self._table.values()
        ]

    async def stop(self, within_s: float) -> None:
        """End all. The doors have finished; learners have `within_s` to keep their states."""
        self._stopped = True
        await asyncio.gather(*(self._end(hosting, within_s) for hosting in list(self._table.values())))
        if self._folder is not None:
            await asyncio.to_thread(self._folder.remove)
            self._folder = None

    async def _end(self, hosting: Hosting, within_s: float = LAST_SNAPSHOT_S) -> None:
        if self._table.get(hosting.launch) is hosting:
            del self._table[hosting.launch]
            self._asking.pop(hosting.launch, None)
            self._ending.add(hosting)
            await hosting.stop(within_s)
            self._ending.discard(hosting)

    def kill(self) -> None:
        """The last resort, when the supervisor itself cannot go on."""
        for hosting in self._all():
            for child in hosting.children:
                with contextlib.suppress(OSError):
                    child.process.kill()
                    child.process.wait()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def _go(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a model process is not looked after any more: %s", error, exc_info=error)


def _good(hosting: Hosting) -> bool:
    return hosting.hosted.done() and hosting.hosted.exception() is None
