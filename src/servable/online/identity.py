"""Identity: what decides how a learner folds its journal, as a digest; and the mark of it on what was learned.

Another learner would make something else of the same journal, so none takes up what is not its own. The versions of
libraries are no part of it: a snapshot holds those (`snapshots.py`). Called by the learner's process before it opens
anything, by whoever rebuilds, and, where machines share learners, by the ledger (`fleet/ledger.py`).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from servable.bundles import manifest
from servable.domain.bundle import Manifest
from servable.errors import Conflict, EnvironmentFault

FILE: Final = "identity"
"""In a learner's folder: one line, the identity of what learns there."""


def identity_of(stated: Manifest) -> str:
    """SHA-256 (hex) of a learner's manifest, with the files it lists, less what has no say in what is learned: names,
    rules, what is kept for checks.
    """
    beside = {stated.golden, stated.profile, stated.reference, stated.calibration}
    files = tuple(file for file in stated.files if file.path not in beside)
    bare = Manifest("learner", stated.format, stated.model, "", stated.signature, files, options=stated.options)
    return hashlib.sha256(manifest.dumps(bare)).hexdigest()


def claim(folder: Path, own: str) -> None:
    """Mark a folder that is new as that of the learner `own`.

    Raises Conflict if it is another's, EnvironmentFault where the disk refuses.
    """
    fresh = folder / f"{FILE}.{os.getpid()}"
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123 - its mode is given where it is made
            file.write(f"{own}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            (folder / FILE).hardlink_to(fresh)  # whole, and for one only: whoever comes second finds the first one's
        except FileExistsError:
            check(folder, own)
        finally:
            fresh.unlink()
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise EnvironmentFault(f"{folder} cannot be written: {error.strerror}") from error


def check(folder: Path, own: str) -> None:
    """Raises Conflict for a folder that another learner than `own` has marked."""
    try:
        held = (folder / FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return
    same(str(folder), held, own, "or move that folder away")


def same(place: str, held: str, own: str, or_else: str) -> None:
    """Raises Conflict unless the learner `held`, whose `place` it is, is `own`."""
    if held != own:
        raise Conflict(
            f"{place} holds what the learner with the digest {held} has learned, and this one's is {own}: what was "
            f"learned belongs to what learned it; serve this one under another name or version, {or_else}"
        )
