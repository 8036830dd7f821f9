"""Intake: outcomes from callers to the store. Whoever brought some hears of it when they are on disk.

While one write is under way, what comes in gathers for the next: one transaction serves all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from servable.domain.outcome import Outcome
from servable.errors import EnvironmentFault, Overloaded, Unavailable

if TYPE_CHECKING:
    from servable.monitoring.outcomes import Outcomes

MOST_WAITING: Final = 100_000
"""Outcomes that may wait to be written."""


class _Brought(NamedTuple):
    name: str
    source: str
    outcomes: Sequence[Outcome]
    done: asyncio.Future[None]


class Intake:
    """Of one door; for its event loop. The store is opened when there is something to write."""

    def __init__(self, store: Callable[[], Outcomes]) -> None:
        self._store = store
        self._waiting: list[_Brought] = []
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    async def take(self, name: str, source: str, outcomes: Sequence[Outcome]) -> None:
        """Return when these are on disk. Raises Unavailable for a disk that refuses, Overloaded; then none of them is
        there, or all: to send them again is no harm.
        """
        if self._count + len(outcomes) > MOST_WAITING:
            raise Overloaded(f"{self._count} outcomes wait to be written: send these again", retry_after_s=1.0)
        brought = _Brought(name, source, outcomes, asyncio.get_running_loop().create_future())
        self._waiting.append(brought)
        self._count += len(outcomes)
        if self._task is None:
            self._task = asyncio.ensure_future(self._write())
        await asyncio.shield(brought.done)

    def _take(self, rows: Sequence[tuple[str, str, Outcome]]) -> None:
        self._store().take(rows)

    async def _write(self) -> None:
        while self._waiting:
            portion, self._waiting = self._waiting, []
            rows = [(brought.name, brought.source, one) for brought in portion for one in brought.outcomes]
            error: Exception | None = None
            try:
                await asyncio.to_thread(self._take, rows)
            except EnvironmentFault as refused:
                error = Unavailable(f"{refused.message}: send the outcomes again", retry_after_s=5.0)
                error.__cause__ = refused
            except Exception as unforeseen:  # noqa: BLE001 - the wall: whoever waits hears of it
                error = unforeseen
            self._count -= len(rows)
            for brought in portion:
                if error is None:
                    brought.done.set_result(None)
                else:
                    brought.done.set_exception(error)
                    brought.done.exception()  # whoever asked may be gone
        self._task = None
