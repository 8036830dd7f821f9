"""Life: what an export does after it is made: where it looks for newer editions, and whose word it takes for them.

It lies in the export as a script, which no update reaches: who may replace what is fixed when the export is made.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import orjson

from servable.bundles.signatures import public_key
from servable.errors import UsageError

SETTINGS: Final = "settings.js"
GOLDEN: Final = "golden.json"
UPDATES: Final = "updates"
"""The option of targets that can have a life."""
DAY_S: Final = 86_400.0
EVERY_S: Final = 21_600.0


class Life(msgspec.Struct, frozen=True):
    """`updates` is the folder of updates, a URL; `trusted` are public keys in base64. It looks every `every_s` seconds,
    and answers no more once it had no news for `grace_s` (None: it does all the same). The export fills in `name`,
    `sequence` (of updates the latest counts, and older ones than the export are none), and `golden`.
    """

    updates: str
    trusted: tuple[str, ...]
    every_s: float = EVERY_S
    grace_s: float | None = None
    name: str = ""
    sequence: int = 0
    golden: bytes = b""

    def settings(self) -> dict[str, Any]:
        """What the client is told."""
        told = msgspec.to_builtins(self)
        del told["golden"]
        return dict(told)

    def script(self) -> bytes:
        """The client's settings, in the place of the script that says there are none."""
        told = orjson.dumps(self.settings()).decode()
        return f"// Settings: what this export does after it is made.\n\nexport const LIFE = {told};\n".encode()


def now_ms() -> int:
    """Where an export, or an update, stands among others: later ones count more."""
    return time.time_ns() // 1_000_000


def life_of(updates: str, trusted: Sequence[str], grace_days: float | None = None) -> Life:
    """From what people say: keys are base64 or PEM files. Raises UsageError."""
    parts = urlsplit(updates)
    if parts.scheme not in {"https", "http"} or not parts.netloc:
        raise UsageError(f"{updates!r} is no place for updates: expected a URL of a folder, https://…")
    if not trusted:
        raise UsageError("an export that takes updates must know whose: name a public key with --trust")
    if grace_days is not None and grace_days <= 0:
        raise UsageError(f"--grace-days is {grace_days:g}: expected more than 0")
    folder = updates if updates.endswith("/") else f"{updates}/"
    grace_s = None if grace_days is None else grace_days * DAY_S
    return Life(folder, tuple(map(public_key, trusted)), grace_s=grace_s)
