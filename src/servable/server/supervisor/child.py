"""Child: one door process as the supervisor sees it: the process, its channel, and what it last said.

It decides nothing: `policy.py` says when a door is guilty, `supervisor.py` when one is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from servable.engine.plan import Plan, State
from servable.errors import ServableError
from servable.server.control import Beat, Channel, ChannelClosed, Converge, Converged, Drain, Start

LAST_WORDS_S: Final = 1.0
"""After its death, what a door had said before is still read for this long."""

OOM_SCORE: Final = 200
"""Added to a door's score: when memory runs out the kernel kills a door, which is replaced, and not the supervisor."""


class Child:
    """One door process. All methods are for the supervisor's event loop."""

    def __init__(self, slot: int, process: subprocess.Popen[bytes], channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        self.slot = slot
        self.process = process
        self.channel = channel
        self.born = loop.time()
        self.plan: Plan | None = None
        """What it was last told to bring up."""
        self.ready = False
        self.beaten = False
        """It has sent a Beat."""
        self.silent_s = 0.0
        self.stuck = ""
        self.states: tuple[State, ...] = ()
        self.failure: ServableError | None = None
        """Why it could not serve at all, in its own words."""
        self.blame = ""
        """Why the supervisor killed it."""
        self.exited: asyncio.Future[int] = loop.create_future()
        """The exit code; minus the signal's number if one killed it."""
        self.heard: asyncio.Task[None] | None = None
        """Listens to the channel, until its end."""
        self._settled: asyncio.Future[None] = loop.create_future()

    @staticmethod
    async def spawn(
        slot: int, command: Sequence[str], http_fds: Sequence[int], environ: Mapping[str, str] | None = None
    ) -> Child:
        """Start a door in a fresh interpreter. It inherits the listening sockets and its end of the channel, no more.

        It is a process group of its own, so that Ctrl-C at a terminal reaches the supervisor alone. Raises OSError when
        the system has no room for a process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            channel = await Channel.open(ours)
            try:
                words = [*command, "--control-fd", str(theirs.fileno())]
                process = _start(words, (theirs.fileno(), *http_fds), environ)
            except BaseException:
                channel.close()
                raise
        return Child(slot, process, channel)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return not self.exited.done()

    def reap(self) -> None:
        """Look whether the process has ended."""
        code = self.process.poll()
        if code is not None and self.alive:
            self.exited.set_result(code)
            self.ready = False

    def start(self, start: Start) -> None:
        """The first message."""
        self.plan = start.plan
        self.channel.send(start)

    def beat(self, beat: Beat) -> None:
        """A sign of life."""
        self.beaten = True
        self.silent_s = 0.0
        self.stuck = beat.stuck
        self.ready = beat.ready

    def settle(self, converged: Converged) -> None:
        """The first plan stands, or has failed: from now on it takes others."""
        self.states = converged.states
        if not self._settled.done():
            self._settled.set_result(None)

    async def converge(self, plan: Plan) -> Converged:
        """Bring the door to this plan. Raises ChannelClosed if it died before it could answer."""
        await asyncio.wait((self._settled, self.exited), return_when=asyncio.FIRST_COMPLETED)
        if not self._settled.done():
            raise ChannelClosed
        self.plan = plan
        converged: Converged = await self.channel.ask(Converge(plan))
        self.states = converged.states
        return converged

    def drain(self, delay_s: float, timeout_s: float) -> None:
        """Let it finish and exit. One that has said nothing yet has accepted nothing: it is simply ended."""
        if self.beaten:
            self.channel.send(Drain(delay_s, timeout_s))
        else:
            self.kill("stopped before it had started")

    def kill(self, blame: str) -> None:
        """End it at once; the kernel cannot be refused."""
        if self.alive:
            self.blame = self.blame or blame
            self.process.kill()

    async def lost(self) -> None:
        """It hung up: wait for its end, and help if it does not come."""
        await asyncio.wait((self.exited,), timeout=LAST_WORDS_S)
        self.kill("it hung up")
        await self.end()

    async def end(self) -> int:
        """Wait for its death, and for its last words. Returns the exit code."""
        await asyncio.wait((self.exited,))  # not awaited itself: a cancelled waiter must not cancel the fact
        if self.heard is not None:
            await asyncio.wait((self.heard,), timeout=LAST_WORDS_S)
        self.channel.close()
        return self.exited.result()

    def obituary(self) -> str:
        """How it ended, in words.

        The cause is the door's own word or the supervisor's blame where there is one.
        """
        code = self.exited.result()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        cause = self.blame or (self.failure.message if self.failure else "")
        return f"{how} ({cause})" if cause else how


def _start(command: Sequence[str], fds: Sequence[int], environ: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, pass_fds=fds, stdin=subprocess.DEVNULL, process_group=0, env=environ)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # it may be dead already, or /proc hidden
            Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
    return process


def reap_orphans(known: set[int]) -> None:
    """Collect the dead that others left to us: the duty of process 1, or they would fill the process table."""
    with contextlib.suppress(ChildProcessError):
        while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and dead.si_pid not in known:
            os.waitpid(dead.si_pid, 0)
