"""Present: the catalog as it is now, read anew by every question but folded once: only what came since is read.

Where the journal's past is another than the one that was folded (a file restored from a backup), it is read from the
start.
"""

from __future__ import annotations

import threading

from servable.registry.catalog import Catalog
from servable.registry.event import Event
from servable.registry.journal import Journal


class Present:
    """The catalog of one journal. Threads may share it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._last: Event | None = None
        self._catalog = Catalog()

    def catalog(self) -> Catalog:
        """All names, versions and aliases, with everything that was on disk when this was called."""
        with self._lock:
            events = self._journal.read(since=self._last.seq if self._last else 0)
            if self._last is not None and (not events or events[0] != self._last):
                self._last, self._catalog = None, Catalog()
                events = self._journal.read()
            new = events[1:] if self._last is not None else events
            if new:
                self._catalog = self._catalog.after(new)
                self._last = new[-1]
            return self._catalog
