"""Bell: tells an event loop when something has changed in the database. A thread of its own waits there.

It is a convenience: where the database cannot be listened to, it is looked at now and then all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Final

from servable.errors import ServableError
from servable.online.fleet.tables import CHANNEL
from servable.stores.databases.postgresql import PostgreSQL

PAUSE_S: Final = 1.0


class Bell:
    """Sets `rung` whenever something of this learner changes, until it is closed. For the event loop."""

    def __init__(self, database: PostgreSQL, learner: str) -> None:
        self.rung = asyncio.Event()
        self._database = database
        self._learner = learner
        self._loop = asyncio.get_running_loop()
        self._over = threading.Event()
        threading.Thread(target=self._listen, name="servable-bell", daemon=True).start()

    def close(self) -> None:
        """The thread ends in a moment."""
        self._over.set()

    def _listen(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(ServableError, RuntimeError):  # no database; or the loop has ended
                for name in self._database.heard(CHANNEL, self._over.is_set, PAUSE_S):
                    if name == self._learner:
                        self._loop.call_soon_threadsafe(self.rung.set)
            self._over.wait(PAUSE_S)
