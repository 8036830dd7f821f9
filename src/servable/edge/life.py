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
SERVER: Final = "server"
RECORDS: Final = "records"
OPTIONS: Final = frozenset({UPDATES, SERVER, RECORDS})
"""Those of targets that can have a life."""
DAY_S: Final = 86_400.0
EVERY_S: Final = 21_600.0


class RecordsHome(msgspec.Struct, frozen=True):
    """What is sent home of what was answered: this `share` of the calls, and of their inputs these `columns` alone. At
    most so many wait on the device.
    """

    share: float
    columns: tuple[str, ...] = ()
    most: int = 1000


class Life(msgspec.Struct, frozen=True):
    """`updates` is the folder of updates, a URL; `trusted` are public keys in base64. It looks every `every_s` seconds,
    and answers no more once it had no news for `grace_s` (None: it does all the same). Where the device cannot or may
    not answer, or takes longer than `slowest_ms`, the `server` is asked, if there is one. The export fills in `name`,
    `sequence` (of updates the latest counts, and older ones than the export are none), and `golden`.
    """

    updates: str = ""
    trusted: tuple[str, ...] = ()
    every_s: float = EVERY_S
    grace_s: float | None = None
    server: str = ""
    slowest_ms: float | None = None
    records: RecordsHome | None = None
    name: str = ""
    sequence: int = 0
    golden: bytes = b""

    @property
    def options(self) -> frozenset[str]:
        """What a target must know for it."""
        asked = {UPDATES: self.updates, SERVER: self.server, RECORDS: self.records}
        return frozenset(name for name, value in asked.items() if value)

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


def life_of(
    updates: str = "", trusted: Sequence[str] = (), grace_days: float | None = None, *, server: str = "",
    slowest_ms: float | None = None, share: float | None = None, columns: Sequence[str] = (),
) -> Life | None:  # fmt: skip
    """From what people say: keys are base64 or PEM files. None where they say nothing. Raises UsageError."""
    if not updates and (trusted or grace_days is not None):
        raise UsageError("--trust and --grace-days are about updates: add --updates URL")
    if updates and not trusted:
        raise UsageError("an export that takes updates must know whose: name a public key with --trust")
    if slowest_ms is not None and not server:
        raise UsageError("--slowest says when a server answers instead: add --server URL")
    if (share is not None or columns) and not server:
        raise UsageError("--records are sent to a server: add --server URL")
    if share is None and columns:
        raise UsageError("--record-column says what records hold: add --records SHARE")
    if share is not None and not 0 < share <= 1:
        raise UsageError(f"--records is {share:g}: expected a share, more than 0 and at most 1")
    for name, value in (("--grace-days", grace_days), ("--slowest", slowest_ms)):
        if value is not None and value <= 0:
            raise UsageError(f"{name} is {value:g}: expected more than 0")
    if not updates and not server:
        return None
    grace_s = None if grace_days is None else grace_days * DAY_S
    keys = tuple(map(public_key, trusted))
    records = None if share is None else RecordsHome(share, tuple(columns))
    return Life(_folder(updates), keys, grace_s=grace_s, server=_folder(server), slowest_ms=slowest_ms, records=records)


def _folder(url: str) -> str:
    """The URL as one that names can be put behind; empty stays empty."""
    parts = urlsplit(url)
    if url and (parts.scheme not in {"https", "http"} or not parts.netloc):
        raise UsageError(f"{url!r} is no URL of a folder, or of a server: expected https://…")
    return url if not url or url.endswith("/") else f"{url}/"
