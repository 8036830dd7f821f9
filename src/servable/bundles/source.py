"""What was handed over to be packed: a model object, a model file, or a pickle that somebody consented to open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from servable.bundles.original import Original, original_of
from servable.bundles.trial import survive
from servable.domain.bundle import MANIFEST
from servable.domain.runtime import Inspection
from servable.errors import UnsafeModel, UsageError
from servable.runtimes.find import recognise, runtime
from servable.runtimes.sklearn import load_estimator


class FileSource(msgspec.Struct, frozen=True):
    """A model file that is kept as it is, and what its runtime read in it. `beside`: other files of the bundle."""

    path: Path
    format: str
    seen: Inspection
    beside: dict[str, Path] = {}


class Surroundings(msgspec.Struct, frozen=True):
    """What a model that is code wants around it: files beside it, and the libraries it runs on."""

    include: tuple[Path, ...] = ()
    requirements: Path | None = None
    python: Path | None = None

    def __bool__(self) -> bool:
        return self != Surroundings()


class CodeSource(msgspec.Struct, frozen=True):
    """A model that is opened elsewhere to learn its contract, and kept as it is: one that runs code as it is opened, to
    which somebody consented; or one that a sample must teach what it takes.
    """

    path: Path
    format: str
    around: Surroundings


class ForeignSource(msgspec.Struct, frozen=True):
    """A file that may run foreign code as it is opened, and is converted or kept as data: a pickle to which somebody
    consented, a network. Opened elsewhere.
    """

    path: Path
    format: str


def source_of(
    model: Any, kind: str | None, *, allow_unsafe: bool, around: Surroundings, keep: bool
) -> Original | FileSource | CodeSource | ForeignSource:
    """Recognise what is to be packed; `kind` names the format of a file instead. `keep`: it is not to be converted.

    Raises UsageError, UnknownFormat, UnsafeModel, CorruptModel, MissingExtra.
    """
    if not isinstance(model, (str, Path)):
        return original_of(model)
    path = Path(model)
    if (path / MANIFEST).is_file():
        raise UsageError(f"{str(path)!r} is a bundle already: serve it as it is")
    plugin = runtime(kind) if kind is not None else recognise(path)
    pickled = plugin.name == "pickle"
    consented = allow_unsafe or not getattr(plugin, "code", True)
    if consented and hasattr(plugin, "declared") and (keep or around or not pickled):
        return CodeSource(path.resolve(), plugin.name, around)
    if around:
        raise UsageError("files, requirements and an interpreter go with a model that is code, and --allow-unsafe")
    if pickled and not allow_unsafe:
        raise UnsafeModel(
            f"{path.name!r} is a pickle: opening it runs whatever code it holds. If you trust who made it, consent "
            "with allow_unsafe=True (--allow-unsafe); where it can be converted, the bundle made of it holds no code"
        )
    if plugin.isolated:
        return ForeignSource(path.resolve(), plugin.name)
    if plugin.name == "sklearn":
        estimator, _ = load_estimator(path.read_bytes(), path.name)
        return original_of(estimator)
    if getattr(plugin, "fragile", False):
        survive(path.resolve(), plugin.name)
    return FileSource(path.resolve(), plugin.name, plugin.inspect(path))
