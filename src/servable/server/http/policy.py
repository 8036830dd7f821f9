"""Whom the door waits for no longer: who sends too slowly, idles too long, or does not read. Decided once a second for
each connection, as a pure function of what is known of it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from servable.settings import Settings

DRAINING_IDLE_S: Final = 1.0
"""How long a connection may stay open without a request while the door ends."""


class Patience(Enum):
    """What becomes of a connection."""

    WAIT = "go on"
    ABORT = "cut it: an answer waits, and the client does not read"
    REFUSE = "say so and close: the request does not arrive"
    CLOSE = "close it: nothing is under way"


class Phase(NamedTuple):
    """What a connection does: how long a request has been arriving, with so many bytes of its body, or how long nothing
    has been under way (None: that is not so); and how long bytes of an answer have waited for the client, 0 for none.
    """

    receiving_s: float | None
    body_bytes: int
    idle_s: float | None
    unread_s: float


def patience(phase: Phase, settings: Settings, *, draining: bool) -> Patience:
    """Whether to go on waiting.

    >>> patience(Phase(None, 0, 80.0, 0.0), Settings(keep_alive_s=75.0), draining=False)
    <Patience.CLOSE: 'close it: nothing is under way'>
    """
    if phase.unread_s > settings.write_timeout_s:
        return Patience.ABORT
    if phase.receiving_s is not None:
        too_slow = phase.body_bytes < settings.min_receive_rate * phase.receiving_s
        return Patience.REFUSE if phase.receiving_s > settings.receive_timeout_s and too_slow else Patience.WAIT
    limit_s = DRAINING_IDLE_S if draining else settings.keep_alive_s
    return Patience.CLOSE if phase.idle_s is not None and phase.idle_s > limit_s else Patience.WAIT
