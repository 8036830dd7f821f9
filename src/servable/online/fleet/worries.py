"""Worries: what keeps machines from sharing a learner, told in the log: each once in a while, not at each look."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Final

from servable.errors import ServableError

AGAIN_S: Final = 60.0

logger = logging.getLogger("servable.online")


class Worries:
    """Of one keeper."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        """What was told, and until when it is not told again."""

    def tell(self, error: ServableError) -> None:
        """One that is new, or has not been told for a while."""
        now = monotonic()
        self._told = {told: until for told, until in self._told.items() if until > now}
        if error.message not in self._told:
            self._told[error.message] = now + AGAIN_S
            logger.error("%s: learning that machines share waits; predictions go on", error.message)
