"""Keeper: one machine's link between the process of a shared learner and the database of all. Runs in the first door.

It sees that exactly one machine learns: whoever holds the lease. Where that is here, it writes the journal for the
process, publishes what that has learned, and brings it the lessons of the others; where it is not, it brings the
process the states of the one that learns, and the lessons of our doors to it. It never decides what is learned.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Coroutine, Iterator
from time import monotonic
from typing import Any, Final

import orjson

from servable.domain.problem import Problem
from servable.errors import Conflict, NotReady, ServableError
from servable.online import messages
from servable.online.fleet import said
from servable.online.fleet.bell import Bell, rings_of
from servable.online.fleet.clerk import KINDS, Clerk
from servable.online.fleet.errands import Errands
from servable.online.fleet.ledger import Ledger
from servable.online.fleet.publishing import Publishing
from servable.online.fleet.states.port import Log, State
from servable.online.fleet.worries import Worries
from servable.stores.databases.postgresql import PostgreSQL
from servable.wire.frames import HEADER

RECONNECT_S: Final = 0.2
BEATS: Final = 3
"""Renewals in the time of a lease."""
LAST_S: Final = 4.0
"""For the last snapshot, when this machine is to learn no more; without it the next one replays more."""

logger = logging.getLogger("servable.online")


class Keeper:
    """For the event loop where it was made."""

    def __init__(self, address: str, database: PostgreSQL, ledger: Ledger, log: Log) -> None:
        """`address` is where the process listens; states go through the `log`."""
        self._address = address
        self._database = database
        self._ledger = ledger
        self._errands = Errands(database, ledger.learner, self._say)
        self._clerk = Clerk(ledger, self._say)
        self._publishing = Publishing(log, ledger, lambda: self._epoch, self._wall)
        self._bell = Bell([rings_of(database, ledger.learner), *filter(None, [log.listen])])
        self._beat_s = ledger.lease_s / BEATS
        self._epoch: int | None = None
        """Of our lease, while this machine learns."""
        self._renew_at = self._rest_until = 0.0
        self._report = self._told = ""
        self._worries = Worries()
        self._free = asyncio.Event()  # no lease is ours
        self._free.set()
        self._writer: asyncio.StreamWriter | None = None
        self._works: set[asyncio.Task[None]] = set()
        self._task = asyncio.ensure_future(self._keep())

    @classmethod
    async def start(cls, address: str, database: PostgreSQL, ledger: Ledger, log: Log) -> Keeper:
        """One, on the event loop that runs this."""
        return cls(address, database, ledger, log)

    async def end(self) -> None:
        """Have the process learn no more and its last state kept; then let another machine learn, and follow it."""
        self._rest_until = math.inf
        if self._epoch is not None:
            self._say(said.END)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._free.wait(), LAST_S)

    def close(self) -> None:
        """Let another machine learn, at once. A loop that ends waits for its executor, not for its tasks."""
        self._bell.close()
        self._task.cancel()
        epoch, self._epoch = self._epoch, None
        if epoch is not None:
            asyncio.get_running_loop().run_in_executor(None, self._release, epoch)

    # ---- one connection to the process after another

    async def _keep(self) -> None:
        try:
            while True:
                with contextlib.suppress(OSError, EOFError):
                    await self._life()
                await asyncio.sleep(RECONNECT_S)
        finally:
            self._database.close()
            self._publishing.close()

    async def _life(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(self._address)
        await reader.readexactly(HEADER.size)  # its WELCOME: who learns must be there before it is to
        self._say(said.KEEP)
        self._told = ""
        self._publishing.forget()
        works = [asyncio.ensure_future(work) for work in (self._look(), self._publishing.run(), self._hear(reader))]
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for work in [*works, *self._works]:
                work.cancel()
            ended = await asyncio.gather(*works, *self._works, return_exceptions=True)
            self._writer.close()
            self._writer = None
            self._errands.forget()
            await asyncio.shield(self._let_go())
        for error in ended:
            if isinstance(error, Exception) and not isinstance(error, (OSError, EOFError)):
                logger.error("the link of %s to other machines broke: %s", self._ledger.learner, error, exc_info=error)

    async def _let_go(self) -> None:
        """Learning has ended here: whoever wants to may go on, from the last state."""
        epoch, self._epoch = self._epoch, None
        if epoch is not None:
            with contextlib.suppress(ServableError):  # then it goes on from an older one
                await self._publishing.keep(epoch)
            await asyncio.to_thread(self._release, epoch)
        self._free.set()

    def _release(self, epoch: int) -> None:
        with contextlib.suppress(ServableError):  # it will be over by itself
            self._ledger.release(epoch)

    # ---- looking at the database

    async def _look(self) -> None:
        while True:
            self._bell.rung.clear()
            pause_s = self._beat_s
            with self._wall():
                await self._errands.fetch()
                if self._epoch is None:
                    pause_s = await self._while_following()
                else:
                    await self._while_leading(self._epoch)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.rung.wait(), pause_s)

    async def _while_following(self) -> float:
        """Take the lease if it is to be had, else what was published. In how many seconds to look again."""
        standing = await asyncio.to_thread(self._ledger.standing)
        resting_s = max(self._rest_until - monotonic(), 0.0)
        if (standing is None or standing.left_s <= 0) and not resting_s:
            epoch = await asyncio.to_thread(self._ledger.take)
            if epoch is not None:
                await self._lead(epoch)
                return self._beat_s
        if standing is not None and standing.report not in {"", self._told}:
            self._told = standing.report
            report = orjson.loads(standing.report) | {"learns_on": standing.who}
            self._say(said.REPORT, 0, orjson.dumps(report))
        state = await self._publishing.fetch()
        if state is not None:
            self._say(said.FOLLOW, 0, said.encode(said.State(state.offset, state.learned, state.body)))
        left_s = 0.0 if standing is None else standing.left_s
        return min(self._beat_s, max(left_s, resting_s, 0.05))

    async def _lead(self, epoch: int) -> None:
        """The lease is ours: have the process learn."""
        self._epoch = epoch
        self._free.clear()
        self._renew_at = monotonic() + self._beat_s
        self._errands.begin()
        self._publishing.begin()
        offset, snapshot = await asyncio.to_thread(self._ledger.last)
        logger.info("this machine learns for %s, from example %d (epoch %d)", self._ledger.learner, offset, epoch)
        self._say(said.LEAD, 0, said.encode(said.Lead(offset, snapshot)))

    async def _while_leading(self, epoch: int) -> None:
        if monotonic() >= self._renew_at:
            await asyncio.to_thread(self._ledger.renew, epoch, self._report)
            self._renew_at = monotonic() + self._beat_s
        if self._publishing.begun:  # the process learns
            await self._errands.bring()

    # ---- the process

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        while True:
            kind, head_bytes, body_bytes, number, _ = HEADER.unpack(await reader.readexactly(HEADER.size))
            head, body = await reader.readexactly(head_bytes), await reader.readexactly(body_bytes)
            if kind == messages.LEARNED:
                progress = messages.progress(head)
                if not self._publishing.begun:
                    self._bell.rung.set()
                self._publishing.state(State(progress.offset, progress.learned, body))
            elif kind == messages.STANDING:
                self._report = body.decode()
            elif kind == said.SNAPSHOT:
                self._publishing.snapshot(number, body)
            elif kind == said.STANDS:
                self._stands(said.read(body, said.Done).problem)
            elif kind in KINDS:
                self._go(self._clerk.do(self._epoch, kind, number, body))
            elif kind == messages.TEACH:
                self._go(self._errands.send(number, body))
            elif kind == messages.TAUGHT and self._epoch is not None:
                self._go(self._errands.answer(self._epoch, number, head))

    def _stands(self, problem: Problem | None) -> None:
        """The process learns by now, or does not."""
        if problem is None:
            self._say(messages.WATCH)
            return
        error = problem.error()
        if not isinstance(error, NotReady):  # it will not be able to in a moment either
            self._worries.tell(error)
            self._rest_until = monotonic() + self._ledger.lease_s
        self._go(self._let_go())

    def _say(self, kind: int, number: int = 0, body: bytes = b"") -> None:
        if self._writer is not None:
            self._writer.write(messages.frame(kind, number, body=body))

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        async def walled() -> None:
            with self._wall():
                await work
            self._bell.rung.set()

        task = asyncio.ensure_future(walled())
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    @contextlib.contextmanager
    def _wall(self) -> Iterator[None]:
        """What the database says ends nothing here."""
        try:
            yield
        except Conflict as error:
            if self._epoch is None:
                self._worries.tell(error)
                return
            logger.warning("%s: this one follows", error.message)
            self._epoch = None
            self._free.set()
            self._say(said.YIELD)
            self._bell.rung.set()
        except ServableError as error:
            self._worries.tell(error)
