"""NATS: the library of its client, and a connection that stays away once it is lost: whoever needs it connects anew.

Called by what pushes, streams and shares states through it; what they say there is their own.
"""

from __future__ import annotations

from typing import Any, Final

from servable.errors import MissingExtra

TIMEOUT_S: Final = 10.0
"""The longest that a server may take to answer."""
AGAIN_S: Final = 0.1


def library(act: str) -> Any:
    """The client's library. Raises MissingExtra that says what it is needed for (`push to NATS`)."""
    try:
        import nats
    except ImportError as error:
        raise MissingExtra("nats", act, missing="nats") from error
    return nats


async def connected(nats: Any, url: str) -> Any:
    """A connection, which stays away once it is lost. Raises what the library raises."""
    return await nats.connect(
        url,
        allow_reconnect=False,
        max_reconnect_attempts=1,  # which it means for the first connection too: two minutes by default
        reconnect_time_wait=AGAIN_S,
        connect_timeout=TIMEOUT_S,
        error_cb=quiet,
    )


async def quiet(_: Exception) -> None:
    """Errors come to whoever asks."""
