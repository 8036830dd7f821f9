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
from servable.bundles.write import sync_folder, write_file
from servable.edge.contract import CONTRACT
from servable.edge.life import GOLDEN, now_ms
from servable.edge.report import JSON
from servable.errors import CheckFailed, EnvironmentFault, UnsignedModel, UsageError

UPDATE: Final = "update.json"
FILES: Final = "files"
PAST: Final = "past"
NEEDS: Final = 1
NEEDS_FOR_TEXTS: Final = 2
"""What a client must understand: raised with what contracts begin to hold, in `client/life.js` too."""
_SAID: Final = b"servable update "


class File(msgspec.Struct, frozen=True):
    """A file of an edition, by its content."""

    bytes: int
    sha256: str


class Update(msgspec.Struct, frozen=True):
    """What is signed. Of two the one with the higher `sequence` holds; `disabled` are versions with the reasons."""

    name: str
    version: str
    sequence: int
    files: dict[str, File]
    needs: int = NEEDS
    disabled: dict[str, str] = {}


class Signed(msgspec.Struct, frozen=True):
    """A manifest as it lies there: the text that was signed, and the signatures by public key."""

    update: str
    signatures: dict[str, str]


class _Life(msgspec.Struct, frozen=True):
    trusted: tuple[str, ...] = ()


class _About(msgspec.Struct, frozen=True):
    life: _Life | None = None


class _Package(msgspec.Struct, frozen=True):
    servable: _About


class _Contract(msgspec.Struct, frozen=True):
    class Part(msgspec.Struct, frozen=True):
        class Named(msgspec.Struct, frozen=True):
            path: str

        file: Named

    name: str
    version: str
    file: Part.Named
    tokenizer: Part | None = None


class _Proof(msgspec.Struct, frozen=True):
    proven: bool


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
    newest = before if export is None else _edition(export, key, unproven=unproven)
    assert newest is not None  # noqa: S101 - one of them is there
    if before is not None and before.name != newest.name:
        raise UsageError(
            f"{str(folder)!r} holds updates of {before.name!r}, not of {newest.name!r}: name another folder"
        )
    disabled = dict(before.disabled if before else {}) | dict(withdrawn or {})
    for version in restored:
        disabled.pop(version, None)
    if export is not None and newest.version in disabled:
        raise UsageError(
            f"version {newest.version} is withdrawn: say --restore {newest.version}, or publish another one"
        )
    sequence = max(now_ms(), 0 if before is None else before.sequence + 1)
    made = msgspec.structs.replace(newest, sequence=sequence, disabled=disabled)
    _write(folder, made, key, export, before)
    return made


def _edition(export: Path, key: Path, *, unproven: bool) -> Update:
    """What the export would be as an update."""
    try:
        contract = msgspec.json.decode((export / CONTRACT).read_bytes(), type=_Contract)
        life = msgspec.json.decode((export / "package.json").read_bytes(), type=_Package).servable.life
        proof = msgspec.json.decode((export / JSON).read_bytes(), type=_Proof)
        names = [CONTRACT, contract.file.path, *([contract.tokenizer.file.path] if contract.tokenizer else []), GOLDEN]
        if life is None or not life.trusted:
            raise UsageError(f"{str(export)!r} takes no updates, so nobody waits for any: export it with --updates URL")
        files = {name: _file((export / name).read_bytes()) for name in names}
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{str(export)!r} is no folder that `servable export` made for a browser: {error}") from error
    if not proof.proven and not unproven:
        raise CheckFailed(f"{str(export)!r} was exported with --no-proof: export it with the proof, or say --unproven")
    public, _ = signed(b"", key)
    if public not in life.trusted:
        raise UsageError(f"the export trusts {', '.join(life.trusted)}, and {key} is the key of {public}: devices "
                         "would take nothing that it signs")  # fmt: skip
    needs = NEEDS if contract.tokenizer is None else NEEDS_FOR_TEXTS
    return Update(contract.name, contract.version, 0, files, needs)


def _file(data: bytes) -> File:
    return File(len(data), hashlib.sha256(data).hexdigest())


def _read(folder: Path, key: Path) -> Update | None:
    """The update that stands in the folder, if it is ours."""
    path = folder / UPDATE
    if not path.exists():
        return None
    update, told = read_update(path)
    public, _ = signed(b"", key)
    if not holds(public, told.signatures.get(public, ""), _SAID + told.update.encode()):
        raise UnsignedModel(f"{path} is not signed by the key of {key} ({public}): take the key that signed it")
    return update


def read_update(path: Path) -> tuple[Update, Signed]:
    """A manifest, and what was signed; nobody verified it. Raises EnvironmentFault."""
    try:
        told = msgspec.json.decode(path.read_bytes(), type=Signed)
        return msgspec.json.decode(told.update, type=Update), told
    except (OSError, msgspec.MsgspecError) as error:
        raise EnvironmentFault(f"{path} cannot be read: {error}; restore it, or name another folder") from error


def _write(folder: Path, update: Update, key: Path, export: Path | None, before: Update | None) -> None:
    text = msgspec.json.encode(update).decode()
    public, signature = signed(_SAID + text.encode(), key)
    try:
        for name, file in update.files.items() if export else ():
            target = folder / FILES / file.sha256
            if target.exists():
                target.touch()  # young again, so that nobody takes it for left over
            else:
                _put(target, (export / name).read_bytes())  # type: ignore[operator]  # there is one
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
        sync_folder(target.parent)
    except OSError:
        new.unlink(missing_ok=True)
        raise
