"""Publishable: what of an exported folder is an edition, which devices may take in the place of theirs: of a page, a
package and an app contract, model and golden rows; of a program the model's files in its archive.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

import msgspec

from servable.edge.contract import CONTRACT
from servable.edge.life import GOLDEN
from servable.edge.program.held import FACTS, FOLDER, Facts
from servable.edge.program.settings import LIFE, Settings
from servable.edge.program.signed import NEEDS
from servable.edge.report import JSON
from servable.errors import UsageError

PROGRAM: Final = "app.pyz"
ASSETS: Final = "android/src/main/assets"
"""Of sources for phones: their model, and what is told of it."""
SETTINGS: Final = "updates.json"
PHONES: Final = "model.ort"
NEEDS_FOR_TEXTS: Final = 2
"""Of the client of pages and packages (`client/updates.js`), where a model takes texts by tokens."""


class Edition(msgspec.Struct, frozen=True):
    """Files by name; `trusted` are the keys whose updates its devices take, none where they take none; `needs` is what
    a client must understand.
    """

    name: str
    version: str
    files: dict[str, bytes]
    trusted: tuple[str, ...]
    proven: bool
    needs: int = NEEDS


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


def edition_in(export: Path) -> Edition:
    """That of an exported folder. Raises UsageError."""
    try:
        proven = msgspec.json.decode((export / JSON).read_bytes(), type=_Proof).proven
        if (export / PROGRAM).exists():
            return _of_program(export / PROGRAM, proven)
        return _of_phones(export / ASSETS, proven) if (export / ASSETS).exists() else _of_page(export, proven)
    except (OSError, KeyError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{str(export)!r} is no folder that `servable export` made for devices with updates: {error}"
        ) from error


def _of_page(export: Path, proven: bool) -> Edition:
    contract = msgspec.json.decode((export / CONTRACT).read_bytes(), type=_Contract)
    life = msgspec.json.decode((export / "package.json").read_bytes(), type=_Package).servable.life
    names = [CONTRACT, contract.file.path, *([contract.tokenizer.file.path] if contract.tokenizer else []), GOLDEN]
    trusted = () if life is None else life.trusted
    files = {name: (export / name).read_bytes() for name in names} if trusted else {}
    needs = NEEDS if contract.tokenizer is None else NEEDS_FOR_TEXTS
    return Edition(contract.name, contract.version, files, trusted, proven, needs)


def _of_phones(assets: Path, proven: bool) -> Edition:
    contract = msgspec.json.decode((assets / CONTRACT).read_bytes(), type=_Contract)
    settings = assets / SETTINGS
    trusted = msgspec.json.decode(settings.read_bytes(), type=_Life).trusted if settings.exists() else ()
    files = {name: (assets / name).read_bytes() for name in (CONTRACT, contract.file.path, GOLDEN)}
    return Edition(contract.name, contract.version, files, trusted, proven)


def _of_program(archive: Path, proven: bool) -> Edition:
    with zipfile.ZipFile(archive) as held:
        names = [name for name in held.namelist() if name.startswith(f"{FOLDER}/")]
        files = {name.removeprefix(f"{FOLDER}/"): held.read(name) for name in names}
        life = msgspec.json.decode(held.read(LIFE), type=Settings) if LIFE in held.namelist() else None
    facts = msgspec.json.decode(files[FACTS], type=Facts)
    return Edition(facts.manifest.name, facts.version, files, () if life is None else life.trusted, proven)
