"""Bell: tells an event loop when something has changed where machines share a learner. Threads of its own wait there.

It is a convenience: where nothing can be listened to, it is looked at now and then all the same.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from servable.errors import ServableError
from servable.online.fleet.states.port import Listen
from servable.online.fleet.tables import CHANNEL
from servable.stores.databases.postgresql import PostgreSQL

PAUSE_S: Final = 1.0

logger = logging.getLogger("servable.online")


class Bell:
    """Sets `rung` whenever something of this learner changes, until it is closed. For the event loop."""

    def __init__(self, listened: Sequence[Listen]) -> None:
        self.rung = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._over = threading.Event()
        for listen in listened:
            threading.Thread(target=self._listen, args=(listen,), name="servable-bell", daemon=True).start()

    def close(self) -> None:
        """The threads end in a moment."""
        self._over.set()

    def _listen(self, listen: Listen) -> None:
        while not self._over.is_set():
            try:
                for changed in listen(self._over.is_set, PAUSE_S):
                    if changed:
                        self._loop.call_soon_threadsafe(self.rung.set)
            except ServableError:
                pass  # nobody is there
            except Exception:  # the wall: drivers that are closed meanwhile may raise anything
                if not self._over.is_set():
                    logger.exception("nobody listens for news of a shared learner for a moment")
            self._over.wait(PAUSE_S)


def rings_of(database: PostgreSQL, learner: str) -> Listen:
    """What the database says of this learner."""

    def listen(over: Callable[[], bool], pause_s: float) -> Iterator[bool]:
        return (name == learner for name in database.heard(CHANNEL, over, pause_s))

    return listen
