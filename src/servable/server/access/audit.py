"""The audit log: every denied call and every act that changes the server, in `<home>/log/audit.jsonl`.

Append-only. Each line carries the SHA-256 of the line before it, so an entry changed, removed or slipped in
breaks the chain at that place; `verify` finds it. What the chain cannot show by itself is lines cut off its end: keep
the `head` that `verify` gives, elsewhere, to compare. Holds no secrets: callers give names of keys, never keys.

Several doors write to the same file: each append holds a lock on it. Called by `access.py` (denied) and
the handlers of acts; read by `servable doctor` and people.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

from servable.domain.verdict import Verdict

FILE: Final = "audit.jsonl"
START: Final = "0" * 64
"""What the first line gives as the digest of the line before it."""

BURST: Final = 100
A_SECOND: Final = 1.0
"""Denied calls are written down at this rate, after a burst; the rest are counted, and the next entry says how many:
who has no key cannot fill the disk. Acts are always written."""

LONGEST: Final = 256
"""Characters kept of any text that a caller sent."""

BLOCK: Final = 64 * 1024

log = logging.getLogger(__name__)


class Audit:
    """Appends to one file. A disk that refuses is logged and counted in `lost`; it stops no prediction and no act."""

    def __init__(self, home: Path, now: Callable[[], float] = time.time) -> None:
        self.path = home / "log" / FILE
        self.lost = 0
        self._now = now
        self._lock = threading.Lock()
        self._end = -1
        self._previous = START
        self._tokens = float(BURST)
        self._refilled = now()
        self._suppressed = 0

    def denied(self, who: str, act: str, peer: str, reason: str) -> None:
        """A call that was turned away: by which key (or `nobody`), to do what, from where, why. Limited in rate."""
        now = self._now()
        self._tokens = min(BURST, self._tokens + max(now - self._refilled, 0.0) * A_SECOND)
        self._refilled = now
        if self._tokens < 1.0:
            self._suppressed += 1
            return
        self._tokens -= 1.0
        more = {"suppressed": self._suppressed} if self._suppressed else {}
        self._suppressed = 0
        self._append({"kind": "denied", "who": who, "act": act, "from": peer, "result": reason, **more}, durable=False)

    def act(self, who: str, act: str, peer: str, result: str) -> None:
        """Something that changed the server, and what came of it. On disk when this returns: call it off the loop."""
        self._append({"kind": "act", "who": who, "act": act, "from": peer, "result": result}, durable=True)

    def _append(self, entry: dict[str, Any], *, durable: bool) -> None:
        entry = {key: value[:LONGEST] if isinstance(value, str) else value for key, value in entry.items()}
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                with self._lock:
                    fcntl.flock(handle, fcntl.LOCK_EX)
                    self._chain(handle, entry)
                    fcntl.flock(handle, fcntl.LOCK_UN)
                if durable:
                    os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            self.lost += 1
            reason = error.strerror or str(error)
            log.error("cannot write %s: %s (%d entries lost)", self.path, reason, self.lost)  # noqa: TRY400 - ours

    def _chain(self, handle: int, entry: dict[str, Any]) -> None:
        """Write one line behind the last one. Half a line, from a disk that is full, is taken back."""
        end = os.fstat(handle).st_size
        if end != self._end:
            self._previous = _last_digest(handle, end)
        torn = b"\n" if end and os.pread(handle, 1, end - 1) != b"\n" else b""
        line = orjson.dumps({"time": round(self._now(), 3), **entry, "previous": self._previous})
        text = torn + line + b"\n"
        written = os.write(handle, text)
        if written != len(text):
            os.ftruncate(handle, end)
            raise OSError(None, "the disk took half a line")
        self._end = end + written
        self._previous = hashlib.sha256(line).hexdigest()


def verify(path: Path, head: str = "") -> Verdict:
    """Whether the chain holds from the first line to the last, and passes through `head`, if one was kept.

    The Verdict's numbers give the `entries` and, where it breaks, the `line`; its evidence gives the `head` now.
    """
    previous = START
    met = not head
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    entry = orjson.loads(line)
                    claimed = entry["previous"]
                except (orjson.JSONDecodeError, KeyError, TypeError):
                    return _broken(number, "is not an entry")
                if claimed != previous:
                    return _broken(number, "does not follow the one before it: one was changed, removed or added")
                previous = hashlib.sha256(line.removesuffix(b"\n")).hexdigest()
                met = met or previous == head
    except FileNotFoundError:
        pass
    if not met:
        return _broken(number, f"is the last, and the entry {head[:LONGEST]} was never met: the end was cut off")
    return Verdict("audit", True, f"{number} entries, none changed or missing", {"entries": number}, {"head": previous})


def _broken(number: int, what: str) -> Verdict:
    return Verdict("audit", False, f"line {number} {what}", {"line": number})


def _last_digest(handle: int, end: int) -> str:
    """The digest of the last line of a file of `end` bytes."""
    tail = b""
    start = end
    while start > 0 and b"\n" not in tail.rstrip(b"\n"):
        start = max(start - BLOCK, 0)
        tail = os.pread(handle, end - start, start)
    last = tail.rstrip(b"\n").rpartition(b"\n")[2]
    return hashlib.sha256(last).hexdigest() if last else START
