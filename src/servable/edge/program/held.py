"""Held: the model that the archive carries, opened as a server opens one: digests checked, golden rows asked."""

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


def held(archive: Path | None = None) -> Held:
    """The model of this program's own archive, or of another. Raises BundleError and what is below it."""
    with _unpacked(archive or Path(__file__).parents[3]) as folder:
        facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=Facts)
        bundle = Bundle(folder, facts.manifest, facts.digest)
        model: Model = opened(bundle, verified.read(bundle))
        if facts.alone:
            model = OneByOne(model)
        prove_golden(bundle, model)
        return Held(facts, Predictor(Opened(bundle, model)))


@contextmanager
def _unpacked(archive: Path) -> Iterator[Path]:
    """The folder of the model. It lies in memory once it is opened: the copy may go."""
    if archive.is_dir():
        yield archive / FOLDER
        return
    with tempfile.TemporaryDirectory(prefix="servable-") as place:
        with zipfile.ZipFile(archive) as file:
            file.extractall(place, [name for name in file.namelist() if name.startswith(f"{FOLDER}/")])
        yield Path(place) / FOLDER
