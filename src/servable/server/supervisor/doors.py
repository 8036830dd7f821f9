"""Doors: one door process in each slot, and another when it dies. Hears what they say, kills what hangs, lets them end.

`supervisor.py` says when; `policy.py` says whether and how soon.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from servable.engine.plan import Plan
from servable.errors import EnvironmentFault, ServableError
from servable.server.control import Beat, Converged, Failed, Start, Want
from servable.server.supervisor.child import Child
from servable.server.supervisor.policy import Restarts, beat_pause_s, guilty, silence_s
from servable.server.supervisor.rollout import start_failure
from servable.server.supervisor.sockets import Listeners
from servable.settings import Settings

logger = logging.getLogger("servable.supervisor")


class Doors:
    """`plan` gives what a new door starts with; it is asked once `planned` is set.

    `on_beat()` is called after each sign of life, `on_want(door, want)` for what a door's caller wants.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: Listeners,
        command: Sequence[str],
        restarts: Restarts,
        plan: Callable[[], Plan],
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._command = command
        self._restarts = restarts
        self._plan = plan
        self._children: dict[int, Child] = {}
        self.beat_s = beat_pause_s(settings.heartbeat_timeout_s)
        self.replaced = dict.fromkeys(range(settings.workers), 0)
        """Deaths by slot."""
        self.planned = asyncio.Event()
        self.proven = asyncio.Event()
        """A door has been ready: the models and the machine are good, so a later death is worth a replacement."""
        self.stopping = False
        self.on_beat: Callable[[], None]
        self.on_want: Callable[[Child, Want], None]

    def living(self) -> list[Child]:
        """Those that have not ended, by slot."""
        return [child for _, child in sorted(self._children.items()) if child.alive]

    def ready(self) -> int:
        """How many are."""
        return sum(child.ready for child in self.living())

    def reap(self) -> None:
        """At SIGCHLD: see who has ended."""
        for child in self._children.values():
            child.reap()

    async def keep(self, slot: int) -> None:
        """One door after another in this slot. Raises, once, what keeps the very first ones from being ready."""
        crashes = 0
        while True:
            born = asyncio.get_running_loop().time()
            end = await self._one_life(slot)
            if end is None:
                return
            crashes = self._restarts.crashes(crashes, asyncio.get_running_loop().time() - born)
            pause_s = self._restarts.pause_s(crashes)
            self.replaced[slot] += 1
            again = f"in {pause_s:g} s" if pause_s else "now"
            logger.error("door %d %s; the next starts %s", slot, end, again, extra={"event": "door_died", "door": slot})
            await asyncio.sleep(pause_s)

    async def _one_life(self, slot: int) -> str | None:
        """Start a door and wait for its end. Returns how it ended, None if it should; raises if none was ever ready."""
        fds = tuple(sock.fileno() for sock in self._listeners.http[slot])
        grpc_fds = tuple(sock.fileno() for sock in self._listeners.grpc[slot])
        try:
            child = self._children[slot] = await Child.spawn(slot, self._command, fds + grpc_fds)
        except OSError as error:
            if not self.proven.is_set():
                raise EnvironmentFault(f"cannot start a door process: {error}") from error
            return f"could not be started: {error}"
        child.heard = asyncio.create_task(self._hear(child))
        facts = {"event": "door_started", "door": slot, "pid": child.pid}
        logger.info("door %d started (pid %d)", slot, child.pid, extra=facts)
        await self.planned.wait()
        if self.stopping:
            child.kill("stopped before it had started")
        else:
            child.start(Start(self._settings, self._plan(), slot, fds, grpc_fds, self.beat_s))
        await child.end()
        if self.stopping:
            return None
        if not self.proven.is_set():
            why = f"door {slot} {child.obituary()} before it was ready: the server cannot start"
            raise child.failure or ServableError(why)
        return child.obituary()

    async def _hear(self, child: Child) -> None:
        """Take a door's messages, in order, until it hangs up."""
        async for message in child.channel:
            match message:
                case Beat():
                    self._beat(child, message)
                case Converged():
                    child.settle(message)
                    if message.failures and not self.proven.is_set():
                        child.failure = start_failure(message.failures)
                        child.kill("it cannot serve what it should")
                case Failed():
                    child.failure = message.error.error()
                case Want():
                    self.on_want(child, message)
                case _:
                    logger.error("door %d sent a %s, which is not for us", child.slot, type(message).__name__)

    def _beat(self, child: Child, beat: Beat) -> None:
        was_ready = child.ready
        child.beat(beat)
        if child.ready and not was_ready:
            self.proven.set()
            after_s = asyncio.get_running_loop().time() - child.born
            facts = {"event": "door_ready", "door": child.slot, "pid": child.pid}
            logger.info("door %d is ready (%.2f s after its start)", child.slot, after_s, extra=facts)
        elif was_ready and not child.ready and not self.stopping:
            why = "; ".join(f"{s.name}:{s.version} {s.state} {s.reason}".rstrip() for s in beat.states)
            facts = {"event": "door_not_ready", "door": child.slot, "pid": child.pid}
            logger.warning("door %d is not ready any more: %s", child.slot, why or "it does not say why", extra=facts)
        self.on_beat()

    def look(self, elapsed_s: float, pause_s: float) -> None:
        """Kill what is silent or stuck. Called every `pause_s`; the last time was really `elapsed_s` ago."""
        for child in self.living():
            child.silent_s = silence_s(child.silent_s, elapsed_s, pause_s)
            limit_s = self._settings.heartbeat_timeout_s
            if blame := guilty(child.silent_s, child.stuck, limit_s, beaten=child.beaten):
                child.kill(blame)

    async def drain(self, delay_s: float, finish_s: float, kill_s: float, forced: asyncio.Future[None]) -> bool:
        """Let all finish what they accepted and end. True if all did so by themselves and without an error.

        They have `finish_s` after the delay; those that still live at `kill_s`, or once `forced`, are killed.
        """
        children = self.living()
        for child in children:
            child.drain(delay_s, finish_s)
        ended = asyncio.gather(*(child.exited for child in children))
        await asyncio.wait((ended, forced), timeout=delay_s + kill_s, return_when=asyncio.FIRST_COMPLETED)
        for child in self.living():
            child.kill("a second signal" if forced.done() else f"not finished within {kill_s:g} s")
        clean = True
        for child in children:
            if await child.end() != 0 and child.beaten:
                clean = False
                facts = {"event": "door_died", "door": child.slot}
                logger.error("door %d %s while stopping", child.slot, child.obituary(), extra=facts)
        return clean

    def kill(self) -> None:
        """The last resort, when the supervisor itself cannot go on."""
        for child in self.living():
            child.kill("the server ends")
            child.process.wait()
