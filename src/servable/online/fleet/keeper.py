"""Keeper: one machine's link between the process of a shared learner and the database of all. Runs in the first door.

It sees that exactly one machine learns: whoever holds the lease. Where that is here, it writes the journal for the
process, publishes what that has learned, and brings it the lessons of the others; where it is not, it brings the
process the states of the one that learns, and the lessons of our doors to it. It never decides what is learned.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator
from time import monotonic
from typing import Any, Final

import orjson

from servable.domain.problem import Problem
from servable.errors import Conflict, NotReady, ServableError
from servable.online import messages
from servable.online.fleet import said
from servable.online.fleet.bell import Bell
from servable.online.fleet.errands import Errands
from servable.online.fleet.ledger import Ledger, Written
from servable.online.fleet.post import Post, State
from servable.stores.databases.postgresql import PostgreSQL
from servable.wire.frames import HEADER

RECONNECT_S: Final = 0.2
BEATS: Final = 3
"""Renewals in the time of a lease."""
SHARE: Final = 4
"""Of the time, at most one part in so many goes into publishing."""

logger = logging.getLogger("servable.online")


class Keeper:
    """For the event loop where it was made."""

    def __init__(self, address: str, database: PostgreSQL, ledger: Ledger) -> None:
        """`address` is where the process listens."""
        self._address = address
        self._database = database
        self._ledger = ledger
        self._post = Post(database, ledger.learner)
        self._errands = Errands(self._post, self._say)
        self._bell = Bell(database, ledger.learner)
        self._beat_s = ledger.lease_s / BEATS
        self._epoch: int | None = None
        """Of our lease, while this machine learns."""
        self._renew_at = self._rest_until = 0.0
        self._report = self._told = ""
        self._latest: State | None = None
        self._snapshot: tuple[int, bytes] | None = None
        self._fresh = asyncio.Event()
        self._posting = asyncio.Lock()
        self._trouble = ""
        self._writer: asyncio.StreamWriter | None = None
        self._works: set[asyncio.Task[None]] = set()
        self._task = asyncio.ensure_future(self._keep())

    @classmethod
    async def start(cls, address: str, database: PostgreSQL, ledger: Ledger) -> Keeper:
        """One, on the event loop that runs this."""
        return cls(address, database, ledger)

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

    async def _life(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(self._address)
        await reader.readexactly(HEADER.size)  # its WELCOME: who learns must be there before it is to
        self._say(said.KEEP)
        self._told = ""
        self._post.forget()
        works = [asyncio.ensure_future(work) for work in (self._look(), self._publish(), self._hear(reader))]
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
        """Learning has ended here: whoever wants to may go on."""
        epoch, self._epoch = self._epoch, None
        if epoch is not None:
            await asyncio.to_thread(self._release, epoch)

    def _release(self, epoch: int) -> None:
        with contextlib.suppress(ServableError):  # it will be over by itself
            self._ledger.release(epoch)

    # ---- looking at the database

    async def _look(self) -> None:
        while True:
            self._bell.rung.clear()
            pause_s = self._beat_s
            with self._wall():
                if self._epoch is None:
                    pause_s = await self._while_following()
                else:
                    await self._while_leading(self._epoch)
                await self._errands.fetch()
                self._trouble = ""
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
        async with self._posting:
            state = await asyncio.to_thread(self._post.fetch)
        if state is not None:
            self._say(said.FOLLOW, 0, said.encode(said.State(state.offset, state.learned, state.body)))
        if standing is not None and standing.report not in {"", self._told}:
            self._told = standing.report
            report = orjson.loads(standing.report) | {"learns_on": standing.who}
            self._say(said.REPORT, 0, orjson.dumps(report))
        left_s = 0.0 if standing is None else standing.left_s
        return min(self._beat_s, max(left_s, resting_s, 0.05))

    async def _lead(self, epoch: int) -> None:
        """The lease is ours: have the process learn."""
        self._epoch = epoch
        self._renew_at = monotonic() + self._beat_s
        self._latest = self._snapshot = None
        self._errands.begin()
        self._post.forget()
        snapshot = await asyncio.to_thread(self._ledger.newest)
        standing = await asyncio.to_thread(self._ledger.standing)
        offset = 0 if standing is None else standing.offset
        logger.info("this machine learns for %s, from example %d (epoch %d)", self._ledger.learner, offset, epoch)
        self._say(said.LEAD, 0, said.encode(said.Lead(offset, snapshot)))

    async def _while_leading(self, epoch: int) -> None:
        if monotonic() >= self._renew_at:
            await asyncio.to_thread(self._ledger.renew, epoch, self._report)
            self._renew_at = monotonic() + self._beat_s
        if self._latest is not None:  # the process learns
            await self._errands.bring()

    # ---- publishing

    async def _publish(self) -> None:
        published: State | None = None
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            began = monotonic()
            epoch, state, snapshot = self._epoch, self._latest, self._snapshot
            if epoch is None:
                continue
            with self._wall():
                if state is not None and state is not published:
                    async with self._posting:
                        await asyncio.to_thread(self._post.publish, epoch, state)
                    published = state
                if snapshot is not None:
                    await asyncio.to_thread(self._ledger.keep, epoch, *snapshot)
            if self._snapshot is snapshot:
                self._snapshot = None
            await asyncio.sleep((SHARE - 1) * (monotonic() - began))

    # ---- the process

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        while True:
            kind, head_bytes, body_bytes, number, _ = HEADER.unpack(await reader.readexactly(HEADER.size))
            head, body = await reader.readexactly(head_bytes), await reader.readexactly(body_bytes)
            if kind == messages.LEARNED:
                progress = messages.progress(head)
                if self._latest is None:
                    self._bell.rung.set()
                self._latest = State(progress.offset, progress.learned, body)
                self._fresh.set()
            elif kind == messages.STANDING:
                self._report = body.decode()
            elif kind == said.SNAPSHOT:
                self._snapshot = number, body
                self._fresh.set()
            elif kind == said.STANDS:
                self._stands(said.read(body, said.Done).problem)
            elif kind == said.APPEND:
                self._go(self._append(number, said.read(body, said.Append)))
            elif kind == said.READ:
                self._go(self._read(number, said.read(body, said.Read)))
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
            self._worry(error)
            self._rest_until = monotonic() + self._ledger.lease_s
        self._go(self._let_go())

    async def _append(self, number: int, asked: said.Append) -> None:
        events = [Written(one.offset, one.after, one.time, one.body) for one in asked.events]

        def append(epoch: int) -> said.Done:
            self._ledger.append(epoch, asked.expected, events)
            return said.Done()

        await self._do(number, append)

    async def _read(self, number: int, asked: said.Read) -> None:
        def page(_: int) -> said.Done:
            found = self._ledger.read(asked.first, asked.since, asked.place)
            return said.Done([said.Written(*event, place) for place, event in found])

        await self._do(number, page)

    async def _do(self, number: int, act: Callable[[int], said.Done]) -> None:
        """For the process, which waits."""
        try:
            if self._epoch is None:
                raise NotReady("another machine learns by now")
            done = await asyncio.to_thread(act, self._epoch)
        except ServableError as error:
            self._say(said.DONE, number, said.encode(said.Done(problem=Problem.of(error))))
            raise
        self._say(said.DONE, number, said.encode(done))

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

    # ---- trouble

    @contextlib.contextmanager
    def _wall(self) -> Iterator[None]:
        """What the database says ends nothing here."""
        try:
            yield
        except Conflict as error:
            if self._epoch is None:
                self._worry(error)
                return
            logger.warning("%s: this one follows", error.message)
            self._epoch = None
            self._say(said.YIELD)
            self._bell.rung.set()
        except ServableError as error:
            self._worry(error)

    def _worry(self, error: ServableError) -> None:
        """Once for each trouble."""
        if error.message != self._trouble:
            self._trouble = error.message
            logger.error("%s: learning that machines share waits; predictions go on", error.message)
