"""Settings: what the program does after it was exported. They lie in the archive, out of an update's reach."""

from __future__ import annotations

from typing import Final

import msgspec

LIFE: Final = "life.json"
"""In the archive, where there are any."""


class Settings(msgspec.Struct, frozen=True):
    """`updates` is the folder of updates, a URL, looked at every `every_s` seconds; `trusted` are public keys in
    base64. It answers no more once it had no news for `grace_s`. `server` answers where this machine cannot, or takes
    longer than `slowest_ms`. `sequence` says when it was exported: older updates are none. Of its answers it sends this
    `share` home, and of their inputs these `columns`; at most so many wait.
    """

    name: str
    sequence: int = 0
    updates: str = ""
    trusted: tuple[str, ...] = ()
    every_s: float = 21_600.0
    grace_s: float | None = None
    server: str = ""
    slowest_ms: float | None = None
    share: float = 0.0
    columns: tuple[str, ...] = ()
    most: int = 1000
