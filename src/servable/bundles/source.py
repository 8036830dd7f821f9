"""What was handed over to be packed: a model object, a model file, or a pickle that somebody consented to open."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.bundles.original import Original, original_of
from servable.bundles.trial import survive
from servable.domain.bundle import MANIFEST
from servable.domain.runtime import Inspection
from servable.errors import CorruptModel, IncompatibleModel, MissingExtra, UnsafeModel, UsageError
from servable.runtimes.find import recognise, runtime
from servable.runtimes.pickle_file import versions
from servable.runtimes.sklearn import load_estimator

_TIMELESS: Final = frozenset({"LabelEncoder"})
"""Parts that hold values and nothing else, alike in every version of scikit-learn: LightGBM's classifiers have one."""


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


def source_of(
    model: Any, kind: str | None, *, allow_unsafe: bool, around: Surroundings, keep: bool
) -> Original | FileSource | CodeSource:
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
    if pickled:
        return original_of(_unpickled(path, allow_unsafe=allow_unsafe))
    if plugin.name == "sklearn":
        estimator, _ = load_estimator(path.read_bytes(), path.name)
        return original_of(estimator)
    if getattr(plugin, "fragile", False):
        survive(path.resolve(), plugin.name)
    return FileSource(path.resolve(), plugin.name, plugin.inspect(path))


def _unpickled(path: Path, *, allow_unsafe: bool) -> Any:
    """The object in a pickle or joblib file: opening one runs whatever code it holds."""
    if not allow_unsafe:
        raise UnsafeModel(
            f"{path.name!r} is a pickle: opening it runs whatever code it holds. If you trust who made it, consent "
            "with allow_unsafe=True (--allow-unsafe); where it can be converted, the bundle made of it holds no code"
        )
    try:
        import joblib
    except ImportError as error:
        raise MissingExtra("sklearn", f"open {path.name!r}", missing=error.name) from error
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            model = joblib.load(path)
    except Exception as error:  # a wall: a pickle may raise anything
        made_by = ", ".join(versions(path.read_bytes(), path.name))
        raise CorruptModel(
            f"{path.name!r} cannot be opened here ({type(error).__name__}: {error}): it wants the libraries and "
            f"versions it was made with{f' (scikit-learn {made_by})' if made_by else ''}. Name them by --requirements"
        ) from error
    _same_version(path, heard)
    return model


def _same_version(path: Path, heard: list[warnings.WarningMessage]) -> None:
    """Raise IncompatibleModel where scikit-learn said, as it made an estimator, that another version had written it.

    It would then answer, but perhaps otherwise: there is nothing left to prove a packed model against.
    """
    for each in heard:
        if getattr(each.message, "estimator_name", None) in _TIMELESS:
            continue
        written = getattr(each.message, "original_sklearn_version", None)
        if written is not None:
            here = getattr(each.message, "current_sklearn_version", "another version")
            raise IncompatibleModel(
                f"{path.name!r} was made by scikit-learn {written}, and {here} is installed: it may answer "
                f"differently. Keep it as it is, with --requirements FILE that says scikit-learn=={written}"
            )
