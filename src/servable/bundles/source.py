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
from servable.errors import CorruptModel, IncompatibleModel, MissingExtra, UnknownFormat, UnsafeModel, UsageError
from servable.runtimes.content import is_pickle
from servable.runtimes.find import recognise, runtime
from servable.runtimes.sklearn import load_estimator

_COMPRESSED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00\x00")
"""How files begin that joblib compressed with gzip, bzip2, xz or lzma; other files begin so too."""


class FileSource(msgspec.Struct, frozen=True):
    """A model file that is kept as it is, and what its runtime read in it."""

    path: Path
    format: str
    seen: Inspection


def source_of(model: Any, kind: str | None, *, allow_unsafe: bool) -> Original | FileSource:
    """Recognise what is to be packed; `kind` names the format of a file instead.

    Raises UsageError, UnknownFormat, UnsafeModel, CorruptModel, MissingExtra.
    """
    if not isinstance(model, (str, Path)):
        return original_of(model)
    path = Path(model)
    if (path / MANIFEST).is_file():
        raise UsageError(f"{str(path)!r} is a bundle already: serve it as it is")
    try:
        plugin = runtime(kind) if kind is not None else recognise(path)
    except UnknownFormat:
        if kind is not None or not _is_pickle(path):
            raise
        return original_of(_unpickled(path, allow_unsafe=allow_unsafe))
    if plugin.name == "sklearn":
        estimator, _ = load_estimator(path.read_bytes(), path.name)
        return original_of(estimator)
    if allow_unsafe and hasattr(plugin, "declared"):
        seen = plugin.declared(path)
        seen = msgspec.structs.replace(seen, options={**seen.options, "allow_unsafe": True})
        return FileSource(path.resolve(), plugin.name, seen)
    if getattr(plugin, "fragile", False):
        survive(path.resolve(), plugin.name)
    return FileSource(path.resolve(), plugin.name, plugin.inspect(path))


def _is_pickle(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(8)
    return is_pickle(head) or head.startswith(_COMPRESSED)


def _unpickled(path: Path, *, allow_unsafe: bool) -> Any:
    """The object in a pickle or joblib file: opening one runs whatever code it holds."""
    if not allow_unsafe:
        raise UnsafeModel(
            f"{path.name!r} is a pickle: opening it runs whatever code it holds. If you trust who made it, consent "
            "with allow_unsafe=True (--allow-unsafe); the bundle that is made of it holds no code"
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
        raise CorruptModel(
            f"{path.name!r} cannot be opened here ({type(error).__name__}: {error}): it wants the libraries and "
            "versions it was made with"
        ) from error
    _same_version(path, heard)
    return model


def _same_version(path: Path, heard: list[warnings.WarningMessage]) -> None:
    """Raise IncompatibleModel where scikit-learn said, as it made an estimator, that another version had written it.

    It would then answer, but perhaps otherwise: there is nothing left to prove a packed model against.
    """
    for each in heard:
        written = getattr(each.message, "original_sklearn_version", None)
        if written is not None:
            here = getattr(each.message, "current_sklearn_version", "another version")
            raise IncompatibleModel(
                f"{path.name!r} was made by scikit-learn {written}, and {here} is installed: it may answer "
                f"differently. Run  pip install 'scikit-learn=={written}'  and pack it there"
            )
