"""Publishes an export to the devices that have an older one: a folder of updates, whose manifest is signed.

`update.json` says what the newest edition is, which versions are withdrawn, and who signed it; `files/` holds contents
by their digest, so that one manifest gives way to the next in one rename, and whoever still reads the old one finds
its files; `past/` holds former manifests, for `retention.py`. Any server of files will do; this folder holds no secret.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from servable.bundles.signatures import holds, signed
from servable.bundles.write import write_file
from servable.edge.life import now_ms
from servable.edge.program.held import FACTS
from servable.edge.program.signed import SAID, File, Signed, Update
from servable.edge.publishable import PHONES, Edition, edition_in
from servable.errors import CheckFailed, EnvironmentFault, UnsignedModel, UsageError
from servable.stores.whole import sync

UPDATE: Final = "update.json"
FILES: Final = "files"
PAST: Final = "past"


def publish(
    folder: Path, key: Path, export: Path | None = None, *, withdrawn: Mapping[str, str] | None = None,
    restored: Sequence[str] = (), unproven: bool = False,
) -> Update:  # fmt: skip
    """Make an export the newest edition (none: the one that is), withdraw versions with reasons, or let them be used
    again. All of it shows at once, or nothing.

    Raises UsageError, CheckFailed for an export that nobody proved, UnsignedModel for a folder that another key signed,
    EnvironmentFault, MissingExtra.
    """
    before = _read(folder, key)
    if export is None and before is None:
        raise UsageError(f"{str(folder)!r} holds no updates yet: name an exported folder to publish")
    edition = None if export is None else _checked(export, key, unproven=unproven)
    newest = before if edition is None else _as_update(edition)
    assert newest is not None  # noqa: S101 - one of them is there
    if before is not None and before.name != newest.name:
        raise UsageError(
            f"{str(folder)!r} holds updates of {before.name!r}, not of {newest.name!r}: name another folder"
        )
    if before is not None and _kind(before) != _kind(newest):
        raise UsageError(f"{str(folder)!r} holds updates of another target, whose devices take no others: name another "
                         "folder")  # fmt: skip
    disabled = dict(before.disabled if before else {}) | dict(withdrawn or {})
    for version in restored:
        disabled.pop(version, None)
    if export is not None and newest.version in disabled:
        raise UsageError(
            f"version {newest.version} is withdrawn: say --restore {newest.version}, or publish another one"
        )
    sequence = max(now_ms(), 0 if before is None else before.sequence + 1)
    made = msgspec.structs.replace(newest, sequence=sequence, disabled=disabled)
    _write(folder, made, key, {} if edition is None else edition.files, before)
    return made


def _checked(export: Path, key: Path, *, unproven: bool) -> Edition:
    """The edition in an exported folder, if it may be published."""
    found = edition_in(export)
    if not found.trusted:
        raise UsageError(f"{str(export)!r} takes no updates, so nobody waits for any: export it with --updates URL")
    if not found.proven and not unproven:
        raise CheckFailed(f"{str(export)!r} was exported with --no-proof: export it with the proof, or say --unproven")
    public, _ = signed(b"", key)
    if public not in found.trusted:
        raise UsageError(f"the export trusts {', '.join(found.trusted)}, and {key} is the key of {public}: devices "
                         "would take nothing that it signs")  # fmt: skip
    return found


def _kind(update: Update) -> frozenset[str]:
    """What tells the editions of one target from those of another."""
    return frozenset(update.files) & {FACTS, PHONES}


def _as_update(edition: Edition) -> Update:
    files = {name: File(len(data), hashlib.sha256(data).hexdigest()) for name, data in edition.files.items()}
    return Update(edition.name, edition.version, 0, files, edition.needs)


def _read(folder: Path, key: Path) -> Update | None:
    """The update that stands in the folder, if it is ours."""
    path = folder / UPDATE
    if not path.exists():
        return None
    update, told = read_update(path)
    public, _ = signed(b"", key)
    if not holds(public, told.signatures.get(public, ""), SAID + told.update.encode()):
        raise UnsignedModel(f"{path} is not signed by the key of {key} ({public}): take the key that signed it")
    return update


def read_update(path: Path) -> tuple[Update, Signed]:
    """A manifest, and what was signed; nobody verified it. Raises EnvironmentFault."""
    try:
        told = msgspec.json.decode(path.read_bytes(), type=Signed)
        return msgspec.json.decode(told.update, type=Update), told
    except (OSError, msgspec.MsgspecError) as error:
        raise EnvironmentFault(f"{path} cannot be read: {error}; restore it, or name another folder") from error


def _write(folder: Path, update: Update, key: Path, files: Mapping[str, bytes], before: Update | None) -> None:
    text = msgspec.json.encode(update).decode()
    public, signature = signed(SAID + text.encode(), key)
    try:
        for name, data in files.items():
            target = folder / FILES / update.files[name].sha256
            if target.exists():
                target.touch()  # young again, so that nobody takes it for left over
            else:
                _put(target, data)
        if before is not None:
            _put(folder / PAST / f"{before.sequence}.json", (folder / UPDATE).read_bytes())
        _put(folder / UPDATE, msgspec.json.encode(Signed(text, {public: signature})))
    except OSError as error:
        raise EnvironmentFault(f"cannot publish to {folder}: {error.strerror or error}") from error


def _put(target: Path, data: bytes) -> None:
    """The file, in place of one that is there, as a whole."""
    new = target.parent / f".{target.name}-{secrets.token_hex(8)}"
    try:
        write_file(new, data)
        new.rename(target)
        sync(target.parent)
    except OSError:
        new.unlink(missing_ok=True)
        raise
