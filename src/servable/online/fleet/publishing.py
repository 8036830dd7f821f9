"""Publishing: the newest state of a learner and its snapshots, to where all find them; or the newest state from there.

It takes at most a part of the time, so large states come less often. The snapshot that is left when learning ends here
is kept before another machine may learn: it begins there. Called by `keeper.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Final

from servable.online.fleet.ledger import Ledger
from servable.online.fleet.states.feed import Feed
from servable.online.fleet.states.port import Log, State

SHARE: Final = 4
"""Of the time, at most one part in so many goes into publishing."""

AGAIN_S: Final = 0.5
"""After this long a state is published again that could not be."""


class Publishing:
    """For the event loop where it was made. `epoch` tells that of our lease, None while another machine learns."""

    def __init__(
        self,
        log: Log,
        ledger: Ledger,
        epoch: Callable[[], int | None],
        wall: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """States go through the `log`; `wall` is what errors end at."""
        self._feed = Feed(log)
        self._ledger = ledger
        self._epoch = epoch
        self._wall = wall
        self._latest: State | None = None
        self._published: State | None = None
        self._snapshot: tuple[int, bytes] | None = None
        self._fresh = asyncio.Event()
        self._busy = asyncio.Lock()

    @property
    def begun(self) -> bool:
        """Whether there has been a state since learning began here."""
        return self._latest is not None

    def begin(self) -> None:
        """This machine learns from now on."""
        self._latest = self._published = self._snapshot = None
        self._feed.forget()

    def close(self) -> None:
        """Hang up."""
        self._feed.close()

    def forget(self) -> None:
        """The process is another: it knows of no state."""
        self._feed.forget()

    def state(self, state: State) -> None:
        """The newest."""
        self._latest = state
        self._fresh.set()

    def snapshot(self, offset: int, body: bytes) -> None:
        """One to be kept."""
        self._snapshot = offset, body
        self._fresh.set()

    async def run(self) -> None:
        """Publish what is newest, again and again."""
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            began = monotonic()
            epoch = self._epoch()
            if epoch is None:
                continue
            went_well = False
            with self._wall():
                await self._publish(epoch)
                went_well = True
            with self._wall():
                await self.keep(epoch)
            rest_s = (SHARE - 1) * (monotonic() - began)
            if not went_well:
                self._fresh.set()  # the last state of all must not be the one that nobody got
            await asyncio.sleep(rest_s if went_well else max(rest_s, AGAIN_S))

    async def _publish(self, epoch: int) -> None:
        async with self._busy:
            state = self._latest
            if state is not None and state is not self._published:
                await asyncio.to_thread(self._feed.publish, epoch, state)
                self._published = state

    async def keep(self, epoch: int) -> None:
        """Keep the snapshot that is not kept yet, if there is one. Raises what the ledger raises."""
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            await asyncio.to_thread(self._ledger.keep, epoch, *snapshot)

    async def fetch(self) -> State | None:
        """The newest state from elsewhere, if it is not the one that was fetched last. Raises what the log raises."""
        async with self._busy:
            return await asyncio.to_thread(self._feed.fetch)
