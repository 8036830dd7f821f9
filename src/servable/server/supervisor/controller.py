"""Controller: keeps a process that looks after canaries, while there are any. What it wants is answered as a door's is.

No prediction passes there. When it dies another goes on with what was written down; when it cannot, canaries go on
unwatched, and that is logged.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from servable.engine.plan import Plan
from servable.server.control import Reply, Start, Want
from servable.server.supervisor.child import Child
from servable.server.supervisor.policy import Restarts
from servable.server.supervisor.rollout import Rollout
from servable.settings import Settings

COMMAND: Final = (sys.executable, "-P", "-m", "servable.controller")
LOOK_S: Final = 1.0
"""How often it is looked whether there is a canary."""
RESTARTS: Final = Restarts(first_s=1.0, longest_s=60.0)

logger = logging.getLogger("servable.supervisor")


class Controller:
    """`answer` is the desk's: it gives a Reply to what the process wants."""

    def __init__(self, settings: Settings, rollout: Rollout, answer: Callable[[Want], Awaitable[Reply]]) -> None:
        self._settings = settings
        self._rollout = rollout
        self._answer = answer
        self._child: Child | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def keep(self) -> None:
        """One process after another, whenever a name has a canary."""
        crashes = 0
        while True:
            await asyncio.sleep(LOOK_S)
            if not any(route.canary for route in self._rollout.plan.routes.values()):
                continue
            born = asyncio.get_running_loop().time()
            end = await self._one_life()
            crashes = RESTARTS.crashes(crashes, asyncio.get_running_loop().time() - born) if end else 0
            if end:
                facts = {"event": "controller_died"}
                logger.error("the controller %s: canaries are unwatched until the next starts", end, extra=facts)
                await asyncio.sleep(RESTARTS.pause_s(crashes))

    def pids(self) -> set[int]:
        """The process, if there is one."""
        return {self._child.pid} if self._child is not None and self._child.alive else set()

    def reap(self) -> None:
        """At SIGCHLD: see whether it has ended."""
        if self._child is not None:
            self._child.reap()

    def kill(self) -> None:
        """The server ends. What was known is written down."""
        if self._child is not None:
            self._child.kill("the server ends")

    async def _one_life(self) -> str:
        """Start it and wait for its end. How it ended, if it should not have."""
        try:
            child = self._child = await Child.spawn(0, COMMAND, ())
        except OSError as error:
            return f"could not be started: {error}"
        child.start(Start(self._settings, Plan(), 0, (), (), 0.0))
        async for message in child.channel:
            if isinstance(message, Want):
                task = asyncio.get_running_loop().create_task(self._reply(child, message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return "" if await child.end() == 0 else child.obituary()

    async def _reply(self, child: Child, want: Want) -> None:
        child.channel.send(await self._answer(want))
