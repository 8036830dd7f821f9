"""Rebuild: any past state of a learner from its journal, with sources left out if need be; and a version made of it.

It reads what the learner's process writes and changes nothing there: the server may run meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import msgspec

from servable.bundles.golden import golden_bytes, golden_rows
from servable.bundles.write import write_bundle
from servable.domain.bundle import Bundle
from servable.domain.model import Learner
from servable.errors import NotFound, UsageError
from servable.online.event import Examples, encode
from servable.online.fold import Fold
from servable.online.guards.guarded import Guarded
from servable.online.journal import Entry, files_of, read
from servable.online.learners.state import STATE, STATE_FILE
from servable.online.recipe import recipe_of
from servable.online.snapshots import Snapshots


def rebuild(bundle: Bundle, folder: Path, at: int | None = None, without: Collection[str] = ()) -> Fold:
    """The fold of the journal in `folder`, guards and all, up to the last event that ends at offset `at` or before;
    without the examples of some sources. Raises BundleError for what does not learn, NotFound where there is no
    journal, UsageError for a source that sent nothing.
    """
    recipe = recipe_of(bundle)
    journal = folder / "journal"
    if not files_of(journal):
        raise NotFound(f"{bundle.name!r} has learned nothing here: there is no journal in {folder}")
    fold = Fold(Guarded(recipe.make(), recipe.make(), recipe.habits.guards), without)
    if not without and (folder / "snapshots").is_dir():  # a snapshot has all sources in it
        newest = Snapshots(folder / "snapshots").newest(recipe.libraries, before=at, exact=False)
        if newest is not None:
            fold.take(newest.state)
    found: set[str] = set()
    for entry in read(journal, fold.offset):
        if entry.offset < fold.offset or not isinstance(entry.event, Examples):
            continue
        if at is not None and entry.after > at:
            break
        found.add(entry.event.source)
        fold.apply(Entry(entry.offset, entry.event))
    if strangers := sorted(set(without) - found):
        known = ", ".join(map(repr, sorted(found))) or "nobody"
        raise UsageError(f"no example came from {', '.join(map(repr, strangers))}: examples came from {known}")
    return fold


def digest_of(folder: Path, offset: int) -> str:
    """What a state at this offset was learned from: SHA-256 of all examples of the journal in `folder` before it, as
    they were written, one event after another.
    """
    digest = hashlib.sha256()
    for entry in read(folder / "journal"):
        if entry.after > offset:
            break
        if isinstance(entry.event, Examples):
            digest.update(encode(entry.event))
    return f"sha256:{digest.hexdigest()}"


def answering(fold: Fold) -> Learner:
    """Who answers in a fold: the learner, or its champion."""
    learner = fold.learner
    return learner.answering if isinstance(learner, Guarded) else learner


def bundled(bundle: Bundle, fold: Fold, output: Path, *, frozen: bool = False, **lineage: str) -> Bundle:
    """A bundle in the folder `output` that begins with what answers in the fold; one that is `frozen` does not learn.

    `lineage` tells more of where it comes from than how far it had learned: the version, its journal. What is demanded
    of the version is demanded of this one: it is released through the gate.
    """
    learner = answering(fold)
    manifest = bundle.manifest
    files: dict[str, bytes | Path] = {file.path: bundle.folder / file.path for file in manifest.files}
    files[STATE_FILE] = learner.snapshot()
    rows = golden_rows(bundle)
    if rows is not None and manifest.golden is not None:
        files[manifest.golden] = golden_bytes(rows, learner.predict(rows))
    options = {**manifest.options, STATE: STATE_FILE, **({"frozen": True} if frozen else {})}
    whole = {**manifest.lineage, **lineage, "offset": fold.offset, "learned": fold.learned}
    return write_bundle(output, msgspec.structs.replace(manifest, options=options, lineage=whole), files)
