"""Held: the model that the archive carries, or a newer edition of it, opened as a server opens one: digests checked,
golden rows asked.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from servable.bundles.golden import prove_golden
from servable.bundles.load import Predictor
from servable.bundles.opened import Opened
from servable.domain.bundle import Bundle, Manifest
from servable.domain.model import Model
from servable.edge.one_by_one import OneByOne
from servable.edge.program.settings import LIFE, Settings
from servable.errors import Unavailable
from servable.runtimes import verified
from servable.runtimes.onnx import opened

FOLDER: Final = "model"
FACTS: Final = "facts.json"
"""In the archive: a folder, and a file of it that tells which edition this is."""


class Facts(msgspec.Struct, frozen=True):
    """The bundle's manifest as it holds for this edition, what the edition is called, and the bundle's own digest."""

    manifest: Manifest
    version: str
    digest: str
    variant: str
    alone: bool


class Held(msgspec.Struct, frozen=True):
    """What answers, and what it is."""

    facts: Facts
    predictor: Predictor


class NotHere(Unavailable):
    """A rule hands rows over to a model that is not on this machine."""


def held(archive: Path | None = None) -> Held:
    """The model of this program's own archive, or of another. Raises BundleError and what is below it."""
    with _unpacked(archive or own_archive()) as folder:
        return held_in(folder / FOLDER)


def held_in(folder: Path) -> Held:
    """The edition in a folder. Raises BundleError and what is below it."""
    facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=Facts)
    bundle = Bundle(folder, facts.manifest, facts.digest)
    model: Model = opened(bundle, verified.read(bundle))
    if facts.alone:
        model = OneByOne(model)
    prove_golden(bundle, model)
    return Held(facts, Predictor(Opened(bundle, model), _not_here))


def own_archive() -> Path:
    """The archive that this code lies in."""
    return Path(__file__).parents[3]


def settings(archive: Path) -> Settings | None:
    """What it does after its export; None: nothing."""
    with _unpacked(archive) as folder:
        path = folder / LIFE
        return msgspec.json.decode(path.read_bytes(), type=Settings) if path.exists() else None


def shipped(archive: Path) -> dict[str, bytes]:
    """The files of the edition in the archive."""
    with _unpacked(archive) as folder:
        return {path.name: path.read_bytes() for path in (folder / FOLDER).iterdir()}


@contextmanager
def _unpacked(archive: Path) -> Iterator[Path]:
    """A folder with the model's and the settings. What is opened lies in memory: the copy may go."""
    if archive.is_dir():
        yield archive
        return
    with tempfile.TemporaryDirectory(prefix="servable-") as place:
        with zipfile.ZipFile(archive) as file:
            names = [name for name in file.namelist() if name.startswith(f"{FOLDER}/") or name == LIFE]
            file.extractall(place, names)
        yield Path(place)


def _not_here(ref: str) -> Predictor:
    raise NotHere(f"a rule hands rows over to {ref!r}, which is not on this machine", fallback=ref)
