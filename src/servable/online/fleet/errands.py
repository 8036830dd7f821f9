"""Errands: lessons that a keeper carries: of its own doors to whoever learns, of other machines to its process.

What it carries is in the post, and has an answer there once it is in the journal. Called by `keeper.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from servable.domain.problem import Problem
from servable.errors import NotReady, ServableError
from servable.online import messages
from servable.online.fleet import said
from servable.online.fleet.post import Post
from servable.stores.databases.port import Database

WAIT_S: Final = 20.0
"""How long lessons wait for a machine that learns."""

Say = Callable[[int, int, bytes], None]


class Errands:
    """`say` sends a frame to the process: kind, number, body."""

    def __init__(self, database: Database, learner: str, say: Say) -> None:
        self._post = Post(database, learner)
        self._say = say
        self._brought: set[int] = set()
        """Lessons of the post that are with our process."""
        self._sent: dict[int, tuple[int, int, float]] = {}
        """Lessons that went into the post from here: the process's number of them, how many, when they are given up."""

    async def send(self, number: int, body: bytes) -> None:
        """Lessons of our doors. Raises what the database says; the process is told too."""
        lessons = len(messages.lessons(body))
        try:
            posted = await asyncio.to_thread(self._post.ask, body)
        except ServableError as error:
            self._say(said.ANSWERED, number, _refused(NotReady(error.message), lessons))
            raise
        self._sent[posted] = number, lessons, monotonic() + WAIT_S

    async def fetch(self) -> None:
        """Tell the process what became of those, of any that has an answer by now, or is given up."""
        for posted, taken in (await asyncio.to_thread(self._post.answers, list(self._sent))).items():
            self._say(said.ANSWERED, self._sent.pop(posted)[0], taken)
        now = monotonic()
        for posted in [posted for posted, (_, _, until) in self._sent.items() if until <= now]:
            answer = await asyncio.to_thread(self._post.withdraw, posted)
            number, lessons, _ = self._sent.pop(posted)
            nobody = NotReady("no machine learns for this model now: send it again")
            self._say(said.ANSWERED, number, answer or _refused(nobody, lessons))

    async def bring(self) -> None:
        """The lessons in the post, to our process, which learns."""
        for number, body in await asyncio.to_thread(self._post.asked, frozenset(self._brought)):
            self._brought.add(number)
            self._say(messages.TEACH, number, body)

    async def answer(self, epoch: int, number: int, taken: bytes) -> None:
        """What the process says of them. Raises Conflict if another machine learns by now."""
        await asyncio.to_thread(self._post.answer, epoch, number, taken)
        self._brought.discard(number)

    def begin(self) -> None:
        """The process knows of none of the post's lessons."""
        self._brought.clear()

    def forget(self) -> None:
        """The process is another: nobody waits for those that were sent."""
        self._brought.clear()
        self._sent.clear()


def _refused(error: ServableError, lessons: int) -> bytes:
    return messages.encode([messages.Taken(problem=Problem.of(error))] * lessons)
