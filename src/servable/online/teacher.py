"""Teacher: a door's end of a learner's process. Lessons go out, what became of them comes back, and every new state.

While a frame of lessons is with the process, what comes in is gathered for the next: one write and one sync serve all
of it. A lesson whose answer a lost connection swallowed is sent again: examples count once, whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson

from servable.domain.record import Records
from servable.domain.signature import Signature
from servable.errors import NotReady, Overloaded
from servable.online import messages
from servable.online.kept import lessons_of
from servable.online.messages import Lesson, Progress, Taken
from servable.wire.frames import HEADER, WELCOME

RECONNECT_S: Final = 0.05
MOST_WAITING: Final = 10_000
"""Lessons that may wait at a door."""
FRAME: Final = 512
"""Lessons in a frame, at the most."""
LARGEST: Final = 1 << 31

logger = logging.getLogger("servable.online")


OnState = Callable[[Progress, bytes], None]


class Teacher:
    """All methods are for the event loop, where it was made. `progress` is how far the learner was last heard to be."""

    def __init__(self, name: str, address: str, signature: Signature, on_state: OnState | None = None) -> None:
        """`on_state` takes each new state, of a learner whose answers are computed here."""
        self.name = name
        self.progress = Progress(0, 0)
        self._standing: dict[str, Any] | None = None
        self._address = address
        self._signature = signature
        self._on_state = on_state
        self._queue: list[tuple[Lesson, asyncio.Future[Taken] | None]] = []
        self._sent: list[tuple[Lesson, asyncio.Future[Taken] | None]] = []
        self._number = 0
        self._writer: asyncio.StreamWriter | None = None
        self._applied: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()
        self._asked: deque[asyncio.Future[bytes]] = deque()
        self.heard = threading.Event()
        """Set once it is known what the learner has learned."""
        self.on_end: Callable[[], Awaitable[None]] = _nothing
        self.on_close: Callable[[], None] = lambda: None
        """Called before the end, and with it."""
        self._task = asyncio.ensure_future(self._keep())

    @classmethod
    async def connect(cls, name: str, address: str, signature: Signature, on_state: OnState | None = None) -> Teacher:
        """One, on the event loop that runs this."""
        return cls(name, address, signature, on_state)

    @property
    def connected(self) -> bool:
        """Whether the process is there."""
        return self._writer is not None

    async def teach(self, lesson: Lesson) -> Taken:
        """What became of a lesson: it is on the disk. Raises what the process refused it with, NotReady, Overloaded."""
        if not self.connected:
            raise NotReady(f"the learner of {self.name!r} is not there: send it again", retry_after_s=1.0)
        if len(self._queue) >= MOST_WAITING:
            raise Overloaded(f"{MOST_WAITING} lessons wait for {self.name!r}: send it again", retry_after_s=0.5)
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._queue.append((lesson, future))
        self._send()
        taken = await future
        if taken.problem is not None:
            raise taken.problem.error()
        return taken

    def keep(self, records: Records) -> None:
        """Have rows that were predicted kept until their outcomes come, or learned if these came with them. Where too
        much waits they are not: it is not for them that an answer waits.
        """
        if len(self._queue) < MOST_WAITING:
            self._queue += [(lesson, None) for lesson in lessons_of(records, self._signature)]
            self._send()

    async def applied(self, offset: int) -> None:
        """Return once answers are computed with all examples before this offset in them."""
        if self.progress.offset < offset:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._applied, (offset, next(self._count), future))
            await future

    def standing(self) -> dict[str, Any] | None:
        """How learning went when it was last told, within a second, and what waits here; None: it was not told yet."""
        if self._standing is None:
            return None
        return self._standing | {"queue": len(self._queue) + len(self._sent), "connected": self.connected}

    async def report(self) -> dict[str, Any]:
        """How learning goes. Raises NotReady."""
        if self._writer is None:
            raise NotReady(f"the learner of {self.name!r} is not there: ask again", retry_after_s=1.0)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked.append(future)
        self._writer.write(messages.frame(messages.ASK, 0))
        report: dict[str, Any] = orjson.loads(await future)
        return report

    async def end(self) -> None:
        """The server is being stopped: keep what would be lost."""
        await self.on_end()

    def close(self) -> None:
        """Hang up. Who waits is told."""
        self.on_close()
        self._task.cancel()
        gone = NotReady(f"{self.name!r} is being unloaded: send it again")
        self._give_up()
        for _, future in [*self._sent, *self._queue]:
            if future is not None and not future.done():
                future.set_exception(gone)
        for _, _, waiter in self._applied:
            if not waiter.done():
                waiter.set_exception(gone)

    def _give_up(self) -> None:
        """Whoever asked asks again."""
        while self._asked:
            future = self._asked.popleft()
            if not future.done():
                future.set_exception(NotReady(f"the learner of {self.name!r} went away: ask again", retry_after_s=1.0))

    def _send(self) -> None:
        if self._writer is None or self._sent or not self._queue:
            return
        self._sent, self._queue = self._queue[:FRAME], self._queue[FRAME:]
        self._number += 1
        body = messages.encode([lesson for lesson, _ in self._sent])
        self._writer.write(messages.frame(messages.TEACH, self._number, body=body))

    async def _keep(self) -> None:
        """One connection after another."""
        while True:
            with contextlib.suppress(OSError, EOFError):
                reader, self._writer = await asyncio.open_unix_connection(self._address)
                try:
                    await self._talk(reader, self._writer)
                finally:
                    self._writer.close()
                    self._writer = None
                    self._queue[:0], self._sent = self._sent, []
                    self._give_up()
            await asyncio.sleep(RECONNECT_S)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(messages.frame(messages.WATCH, 0))
        self._send()
        while True:
            kind, head_bytes, body_bytes, number, _ = HEADER.unpack(await reader.readexactly(HEADER.size))
            if head_bytes + body_bytes > LARGEST:
                raise EOFError
            head, body = await reader.readexactly(head_bytes), await reader.readexactly(body_bytes)
            try:
                if kind == messages.TAUGHT and number == self._number:
                    self._taught(messages.taken(head))
                elif kind == messages.LEARNED:
                    self._learned(messages.progress(head), body)
                elif kind == messages.STANDING:
                    self._standing = orjson.loads(body)
                elif kind == messages.TOLD and self._asked:
                    answer = self._asked.popleft()
                    if not answer.done():
                        answer.set_result(body)
                elif kind != WELCOME:
                    return
            except Exception:  # the wall: what comes from a process may be anything
                logger.exception("the learner of %s says what cannot be read: connecting anew", self.name)
                return

    def _taught(self, answers: Sequence[Taken]) -> None:
        sent, self._sent = self._sent, []
        for (_, future), answer in zip(sent, answers, strict=True):
            if future is not None and not future.done():
                future.set_result(answer)
        self._send()

    def _learned(self, progress: Progress, state: bytes) -> None:
        if self._on_state is not None and state:
            try:
                self._on_state(progress, state)
            except Exception:  # the wall: a learner may raise anything
                logger.exception("a state of %s is not understood here: the one before it answers", self.name)
                return
        self.progress = progress
        self.heard.set()
        while self._applied and self._applied[0][0] <= progress.offset:
            _, _, future = heapq.heappop(self._applied)
            if not future.done():
                future.set_result(None)


async def _nothing() -> None:
    """There is nothing to keep."""
