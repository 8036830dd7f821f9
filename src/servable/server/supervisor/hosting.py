"""Hosting: one model process, and the next when it dies, at one address: the listening socket is ours, and each
inherits it.

Doors that come while there is no process wait in the socket's queue. A process that holds too much memory is replaced:
the new one comes up beside it, then it retires. `processes.py` says which models have one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from servable.engine.process.messages import Down, Hosted, Launch, Load, Pulse, Retire, Up
from servable.errors import CorruptModel, EnvironmentFault, NotReady, ServableError
from servable.server.supervisor.child import Child
from servable.server.supervisor.policy import Restarts, beat_pause_s, overfull, process_guilty
from servable.settings import Settings

PROCESS: Final = ("-P", "-m", "servable.engine.process.main")
LEARNER: Final = ("-P", "-m", "servable.online.process")
"""Of the model process's command, what follows the interpreter; and of a process that learns."""
BACKLOG: Final = 128
UNUSED_S: Final = 5.0
"""A process that a door has left, and no door uses, ends after this long."""
FORGOTTEN_S: Final = 60.0
"""One that no door came to, after this long."""
WORKED_S: Final = 1.0
"""The longest pause after the death of a process that had come up: one input may have killed it, the next will not."""
LAST_SNAPSHOT_S: Final = 10.0
"""For a learner that ends: its journal has all, so what it does not finish costs the next start, and no more."""
RETIRE_S: Final = 60.0
"""For the call that runs in a process that retires."""

logger = logging.getLogger("servable.supervisor")


class Hosting:
    """Keeps one version's process. `hosted` comes true when it first is up, or with the error why it cannot be."""

    def __init__(  # noqa: PLR0917 - its parts; only `processes` puts them together
        self,
        launch: Launch,
        folder: Path,
        settings: Settings,
        restarts: Restarts,
        python: Sequence[str],
        environ: Mapping[str, str],
        on_down: Callable[[Hosting, str, float], None],
    ) -> None:
        """`folder` is ours: the socket and the scratch folders lie there. `on_down(self, reason, retry_after_s)` is
        called when the process has died more than once in a row, or cannot be started.
        """
        self.launch = launch
        self.address = str(folder / "socket")
        self._folder = folder
        self._settings = settings
        self._restarts = restarts
        self._python = python
        self._environ = environ
        self._on_down = on_down
        folder.mkdir(mode=0o700)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.address)
        self._listener.listen(BACKLOG)
        self.hosted: asyncio.Future[Hosted] = asyncio.get_running_loop().create_future()
        self.restarted = 0
        """How often a process had to be replaced."""
        self.child: Child | None = None
        """The process that answers."""
        self.children: set[Child] = set()
        """All that live: the one that answers, one that comes up, those that retire."""
        self._ups: dict[Child, Up] = {}
        self._full = asyncio.Event()
        self._unused_s = 0.0
        self._left = False
        self._cpu: dict[Child, int] = {}
        self._stopping = asyncio.Event()
        self.stopped = asyncio.Event()

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.launch.target.name}:{self.launch.target.version}"

    @property
    def unused(self) -> bool:
        """No door needs it any more."""
        return self._unused_s > (UNUSED_S if self._left else FORGOTTEN_S)

    async def keep(self) -> None:
        """One process after another, until stopped; ends too if the very first does not come up."""
        crashes = failures = 0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            born = loop.time()
            fresh, how = await self._start()
            if fresh is not None:
                self._take(fresh)
                await self._until_over(fresh)
                if self._stopping.is_set() or fresh.alive:  # it is full, and answers until the next can
                    continue
                how = fresh.obituary()
                crashes, failures = self._restarts.crashes(crashes, loop.time() - born), 0
                pause_s = min(self._restarts.pause_s(crashes), WORKED_S)
            elif self.child is not None:
                failures += 1
                pause_s = self._restarts.pause_s(failures + 1)
            else:
                return
            if self._stopping.is_set():
                return
            self.restarted += 1
            facts = {"event": "process_died", "model": self.name}
            logger.error("the model process of %s %s; the next starts in %g s", self.name, how, pause_s, extra=facts)
            if pause_s and not (self.child is not None and self.child.alive):
                self._on_down(self, f"the model process of {self.name} {how}", pause_s)
            await asyncio.sleep(pause_s)

    async def _start(self) -> tuple[Child | None, str]:
        """A process that is up; or None, and how it ended."""
        scratch = ""
        try:
            scratch = tempfile.mkdtemp(prefix="scratch-", dir=self._folder)
            child = await Child.spawn(
                0,
                [*self._python, *(LEARNER if self.launch.learns else PROCESS)],
                (self._listener.fileno(),),
                {**self._environ, "HOME": scratch},
            )
        except OSError as error:
            shutil.rmtree(scratch, ignore_errors=True)
            self._fail(EnvironmentFault(f"cannot start a model process for {self.name}: {error}"))
            return None, f"cannot be started: {error}"
        self.children.add(child)
        up: asyncio.Future[Up] = asyncio.get_running_loop().create_future()
        child.heard = asyncio.create_task(self._hear(child, up))
        asyncio.create_task(self._bury(child, scratch)).add_done_callback(lambda _: None)
        facts = {"event": "process_started", "model": self.name, "pid": child.pid}
        logger.info("a model process for %s started (pid %d)", self.name, child.pid, extra=facts)
        child.channel.send(self._load(scratch))
        limit_s = self._settings.load_timeout_s
        await asyncio.wait((up, child.exited), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            child.kill(f"it had not loaded its model within {limit_s:g} s")
            await child.end()
            how = child.obituary()
            words = f"the model process of {self.name} {how} while loading: the model's code or library ended it"
            self._fail(child.failure or CorruptModel(words))
            return None, how
        self._ups[child] = up.result()
        return child, ""

    def _load(self, scratch: str) -> Load:
        settings = self._settings
        return Load(
            self.launch.target,
            self._listener.fileno(),
            scratch,
            beat_pause_s(settings.heartbeat_timeout_s),
            settings.warm_up,
            settings.sandbox,
            settings.process_limit_bytes,
            max_answer_bytes=settings.max_answer_bytes,
            spawns=self.launch.spawns,
            listens=self.launch.listens,
            journal=str(self._journal()) if self.launch.learns else "",
            shared=self.launch.learns and bool(settings.learning_url),
        )

    def _journal(self) -> Path:
        target = self.launch.target
        folder = self._settings.home_path.absolute() / "online" / target.name / target.version
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _fail(self, error: ServableError) -> None:
        if not self.hosted.done():
            self.hosted.set_exception(error)
            self.hosted.exception()  # whoever asked is told; nobody may have

    def _take(self, fresh: Child) -> None:
        """The process answers from now on; the one before retires."""
        old, self.child = self.child, fresh
        self._full.clear()
        self._left = False
        up = self._ups.pop(fresh)
        facts = {"event": "process_ready", "model": self.name, "pid": fresh.pid}
        logger.info("the model process of %s answers (%s)", self.name, "; ".join(up.layers), extra=facts)
        if not self.hosted.done():
            self.hosted.set_result(Hosted(self.address, up))
        if old is not None and old.alive:
            self._retire(old)

    def _retire(self, child: Child) -> None:
        child.channel.send(Retire())
        asyncio.get_running_loop().call_later(RETIRE_S, child.kill, "it did not retire")

    async def _until_over(self, child: Child) -> None:
        full = asyncio.ensure_future(self._full.wait())
        await asyncio.wait((child.exited, full), return_when=asyncio.FIRST_COMPLETED)
        full.cancel()

    async def _bury(self, child: Child, scratch: str) -> None:
        await child.end()
        self.children.discard(child)
        self._cpu.pop(child, None)
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _hear(self, child: Child, up: asyncio.Future[Up]) -> None:
        """Take a process's messages until it hangs up."""
        baseline = 0
        async for message in child.channel:
            match message:
                case Pulse(memory, doors, left):
                    child.beaten = True
                    child.silent_s = 0.0
                    if child is self.child:
                        self._unused_s = 0.0 if doors else self._unused_s
                        self._left = self._left or left
                        baseline = baseline or memory
                        # A learner's journal has one writer: it cannot be replaced by one beside it.
                        if not self.launch.learns and overfull(memory, baseline, self._settings.process_recycle_bytes):
                            self._recycle(child, memory)
                case Up():
                    up.set_result(message)
                case Down(problem):
                    child.failure = problem.error()
                case _:
                    logger.error("the process of %s sent a %s: it is ended", self.name, type(message).__name__)
                    child.kill("it does not keep to the protocol")

    def _recycle(self, child: Child, memory: int) -> None:
        if not self._full.is_set():
            facts = {"event": "process_recycled", "model": self.name, "pid": child.pid}
            logger.warning("the model process of %s holds %d MiB: it is replaced", self.name, memory >> 20, extra=facts)
            self._full.set()

    def look(self, elapsed_s: float, pause_s: float) -> None:
        """Kill what is silent; note how long nobody has used us. Called every `pause_s`."""
        self._unused_s += elapsed_s
        for child in list(self.children):
            ticks = cpu_ticks(child.pid)
            working = ticks != self._cpu.get(child)
            self._cpu[child] = ticks
            child.silent_s += min(elapsed_s, 2 * pause_s)
            limits = self._settings.heartbeat_timeout_s, self._settings.stuck_after_s
            blame = process_guilty(child.silent_s, *limits, working=working, up=child is self.child)
            if blame:
                child.kill(blame)

    def reap(self) -> None:
        """At SIGCHLD."""
        for child in list(self.children):
            child.reap()

    def kill(self, pid: int, blame: str) -> bool:
        """End the process of this number, if it is one of ours."""
        for child in self.children:
            if child.pid == pid:
                child.kill(blame)
                return True
        return False

    async def stop(self, within_s: float = LAST_SNAPSHOT_S) -> None:
        """End all, and leave nothing behind. One that learns may keep its state before, `within_s`."""
        self._stopping.set()
        self._fail(NotReady(f"the model process of {self.name} is being stopped"))
        self._full.set()
        children = list(self.children)
        if self.launch.learns and self.child is not None and self.child.alive:
            self.child.channel.send(Retire())
            await asyncio.wait((self.child.exited,), timeout=within_s)
        for child in children:
            child.kill("stopped")
        for child in children:
            await child.end()
        self._listener.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self.stopped.set()


def cpu_ticks(pid: int) -> int:
    """The processor time that a process has used, in the kernel's ticks; 0 where it cannot be known."""
    if sys.platform != "linux":
        return 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0
