"""Clerk: does in the ledger what the process asks for: appends events to the journal, reads pages of it. It waits.

Called by `keeper.py`, which hears the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from servable.domain.problem import Problem
from servable.errors import NotReady, ServableError
from servable.online.fleet import said
from servable.online.fleet.ledger import Ledger, Written

Say = Callable[[int, int, bytes], None]
KINDS: Final = frozenset({said.APPEND, said.READ})


class Clerk:
    """`say` sends a frame to the process: kind, number, body."""

    def __init__(self, ledger: Ledger, say: Say) -> None:
        self._ledger = ledger
        self._say = say

    async def do(self, epoch: int | None, kind: int, number: int, body: bytes) -> None:
        """One of KINDS, under the lease of this epoch; the process is told what became of it, and the error is raised
        as well.
        """
        act = (
            self._append(said.read(body, said.Append))
            if kind == said.APPEND
            else self._page(said.read(body, said.Read))
        )
        try:
            if epoch is None:
                raise NotReady("another machine learns by now")
            done = await asyncio.to_thread(act, epoch)
        except ServableError as error:
            self._say(said.DONE, number, said.encode(said.Done(problem=Problem.of(error))))
            raise
        self._say(said.DONE, number, said.encode(done))

    def _append(self, asked: said.Append) -> Callable[[int], said.Done]:
        events = [Written(one.offset, one.after, one.time, one.body) for one in asked.events]

        def append(epoch: int) -> said.Done:
            self._ledger.append(epoch, asked.expected, events)
            return said.Done()

        return append

    def _page(self, asked: said.Read) -> Callable[[int], said.Done]:
        def page(_: int) -> said.Done:
            found = self._ledger.read(asked.first, asked.since, asked.place)
            return said.Done([said.Written(*event, place) for place, event in found])

        return page
