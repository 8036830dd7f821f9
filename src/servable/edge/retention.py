"""What a folder of updates keeps: what the newest manifest names, the editions before it, and what was the newest until
a short while ago, which devices that read it then, or a cache in front of the folder, still ask for. All else goes.

`publish.py` leaves former manifests beside the newest one; what is left over from before it did, goes by its age.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from servable.edge.program.signed import Update
from servable.edge.publish import FILES, PAST, UPDATE, read_update
from servable.errors import EnvironmentFault, UsageError

KEEP: Final = 3
"""Editions, the newest among them."""
FIELD_S: Final = 86_400
"""How long after it was replaced a manifest may be in use: a device takes minutes, a cache hours."""


def spent(updates: Sequence[Update], keep: int, now_ms: int) -> set[int]:
    """The sequences of those of the updates, oldest first, that no device asks for any more. Updates one after another
    with the same files are one edition. An update was replaced when the next one came: its sequence is that time.
    """
    found: set[int] = set()
    editions = 0
    files = None
    replaced_ms = now_ms
    for update in reversed(updates):
        editions += update.files != files
        if editions > keep and now_ms - replaced_ms > FIELD_S * 1000:
            found.add(update.sequence)
        files, replaced_ms = update.files, update.sequence
    return found


def prune(folder: Path, keep: int = KEEP, now_ms: int | None = None) -> tuple[int, int]:
    """Remove what no device asks for any more: how many files that were, and their bytes. Raises UsageError,
    EnvironmentFault.
    """
    if keep < 1:
        raise UsageError(f"--keep is {keep}: expected 1 or more editions, the newest among them")
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    past = {read_update(path)[0].sequence: path for path in (folder / PAST).glob("*.json")}
    newest, _ = read_update(folder / UPDATE)
    known = [*(read_update(past[sequence])[0] for sequence in sorted(past) if sequence != newest.sequence), newest]
    gone = spent(known, keep, now)
    named = {file.sha256 for update in known if update.sequence not in gone for file in update.files.values()}
    since_s = now / 1000 - FIELD_S
    try:
        old = [path for path in (folder / FILES).iterdir() if path.name not in named and path.stat().st_mtime < since_s]
        sizes = [path.stat().st_size for path in old]
        for path in (*old, *(past[sequence] for sequence in gone)):
            path.unlink()
    except OSError as error:
        raise EnvironmentFault(f"cannot remove old updates from {folder}: {error.strerror or error}") from error
    return len(old), sum(sizes)
