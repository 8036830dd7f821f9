"""Last: the newest state that this machine knows of, in a file of its own: to answer by after a start without the
database. It is a copy, now and then, and nothing that anybody was promised.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from time import monotonic
from typing import Final

from servable.errors import CorruptModel
from servable.online.fleet import said
from servable.online.fleet.difference import checked, digest
from servable.wire.frames import BadFrame

EVERY_S: Final = 5.0
SHARE: Final = 20
"""Of the time, at most one part in so many goes into writing."""

logger = logging.getLogger("servable.online")


class Last:
    """In the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._at = 0.0

    def due_ms(self, offset: int) -> int | None:
        """In how long the state at this offset should be kept; None: it need not be."""
        return None if offset <= self._offset else max(int((self._at - monotonic()) * 1000), 0)

    def keep(self, state: said.State) -> None:
        """Write it, whole or not at all. A disk that refuses is no harm."""
        began = monotonic()
        data = said.encode(state)
        fresh = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 - its mode is given where it is made
                file.write(digest(data) + data)
            fresh.rename(self._path)
        self._offset = state.offset
        self._at = monotonic() + max(EVERY_S, SHARE * (monotonic() - began))

    def read(self) -> said.State | None:
        """What was kept; None if nothing was, or it is damaged."""
        try:
            data = self._path.read_bytes()
            return said.read(checked(data[32:], data[:32]), said.State)
        except FileNotFoundError:
            return None
        except (OSError, CorruptModel, BadFrame) as error:
            logger.warning("the last state in %s cannot be read: %s", self._path, error)
            return None
