"""Opens a bundle, or a bare model file as if it were one. Runs no code: it reads a manifest and counts bytes."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from servable.bundles import digest, manifest
from servable.bundles.bare import bare, name_from
from servable.bundles.guard import guard_of
from servable.bundles.infer import with_names
from servable.bundles.trial import survive
from servable.domain.bundle import MANIFEST, SIGNATURES, Bundle, File, Manifest
from servable.domain.ref import NAME
from servable.domain.runtime import Runtime
from servable.errors import BundleError, DigestMismatch, UnknownFormat
from servable.runtimes import mlflow_folder
from servable.runtimes.find import recognise, runtime
from servable.runtimes.mlflow_folder import is_mlflow


def open_bundle(path: Path | str, *, name: str | None = None) -> Bundle:
    """The bundle at `path`: a bundle's folder, a bare model file, or a folder that holds one model.

    Every file of a bundle is checked against its SHA-256. Of a bare file the manifest is inferred through its runtime,
    and its name is the file's stem. `name` overrides either. Raises BundleError and what is below it, MissingExtra.
    """
    path = Path(path)
    path = mlflow_folder.exported(path) or path
    if (path / MANIFEST).is_file():
        opened = _packed(path)
    elif is_mlflow(path):
        opened = _of_mlflow(path)
    elif path.is_dir():
        opened = tried(*_only_model(path))
    else:
        opened = tried(path, recognise(path))
    if name is None or name == opened.name:
        return opened
    return Bundle(opened.folder, _renamed(opened.manifest, name), opened.digest, opened.inferred)


def format_of(path: Path | str) -> tuple[Runtime, Manifest | None]:
    """Which runtime would load what is at `path`, and the manifest if it is a bundle. Nothing of the model is opened.

    Raises UnknownFormat, BundleError.
    """
    path = Path(path)
    path = mlflow_folder.exported(path) or path
    if (path / MANIFEST).is_file():
        stated = manifest.loads((path / MANIFEST).read_bytes(), f"{path.name}/{MANIFEST}")
        return runtime(stated.format), stated
    path = mlflow_folder.read(path).model if is_mlflow(path) else path
    return (_only_model(path)[1] if path.is_dir() else recognise(path)), None


def verify(folder: Path, stated: Manifest) -> None:
    """Raise unless the folder holds exactly the files the manifest lists, byte for byte."""
    listed: dict[str, File] = {}
    for file in stated.files:
        pure = PurePosixPath(file.path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in file.path or "\0" in file.path or str(pure) != file.path:
            raise BundleError(f"the manifest lists {file.path!r}: expected a plain path inside the bundle's folder")
        if file.path in listed:
            raise BundleError(f"the manifest lists {file.path!r} twice")
        listed[file.path] = file
    named = {
        "model": stated.model,
        "golden": stated.golden,
        "profile": stated.profile,
        "reference": stated.reference,
        "calibration": stated.calibration,
    }
    for what, path in named.items():
        if path is not None and path not in listed and not any(entry.startswith(f"{path}/") for entry in listed):
            raise BundleError(f"the manifest's {what} {path!r} is not among its files: {', '.join(listed) or 'none'}")
    beside = {folder / MANIFEST, folder / SIGNATURES}
    found = {entry.relative_to(folder).as_posix(): entry for entry in digest.walk(folder) if entry not in beside}
    if missing := sorted(listed.keys() - found.keys()):
        raise BundleError(f"files of the bundle are missing: {', '.join(missing)}. Copy or pack the bundle again")
    if extra := sorted(found.keys() - listed.keys()):
        raise BundleError(f"files in the bundle's folder are not in its manifest: {', '.join(extra)}. Remove them")
    for path, file in listed.items():
        _same(digest.of_file(found[path], folder), file)


def _same(found: File, stated: File) -> None:
    if found.bytes != stated.bytes:
        raise DigestMismatch(
            f"{stated.path!r} has {found.bytes} bytes, the manifest says {stated.bytes}: the file was cut off, changed "
            "or replaced after packing; copy or pack the bundle again"
        )
    if found.sha256 != stated.sha256:
        raise DigestMismatch(
            f"{stated.path!r} has SHA-256 {found.sha256}, the manifest says {stated.sha256}: the file was changed or "
            "damaged after packing; copy or pack the bundle again"
        )


def _packed(folder: Path) -> Bundle:
    data = (folder / MANIFEST).read_bytes()
    stated = manifest.loads(data, str(folder.name + "/" + MANIFEST))
    if not NAME.fullmatch(stated.name):
        raise BundleError(f"{MANIFEST}: name {stated.name!r}: expected letters, digits, '_', '.' and '-', at most 128")
    verify(folder, stated)
    runtime(stated.format)
    opened = Bundle(folder, stated, digest.of_bytes(data))
    guard_of(opened)  # rules edited by hand are told of now, not at the first request
    return opened


def _of_mlflow(folder: Path) -> Bundle:
    """The model inside an MLflow folder, with the names of its columns, under the folder's name."""
    read = mlflow_folder.read(folder)
    opened = tried(read.model, recognise(read.model))
    signature = with_names(opened.signature, read.columns)
    stated = _renamed(msgspec.structs.replace(opened.manifest, signature=signature), name_from(folder.name))
    return Bundle(opened.folder, stated, opened.digest, opened.inferred)


def tried(path: Path, plugin: Runtime) -> Bundle:
    """A bundle around a bare model, tried in a process of its own where a broken file could kill this one."""
    if getattr(plugin, "fragile", False):
        survive(path.resolve(), plugin.name)
    return bare(path, plugin)


def _only_model(folder: Path) -> tuple[Path, Runtime]:
    """The folder itself if a runtime knows it, else the one model file in it. Raises UnknownFormat."""
    try:
        return folder, recognise(folder)
    except UnknownFormat as unknown:
        models: list[tuple[Path, Runtime]] = []
        for path in sorted(entry for entry in folder.iterdir() if entry.is_file()):
            try:
                models.append((path, recognise(path)))
            except UnknownFormat:
                continue
        if len(models) == 1:
            return models[0]
        if models:
            names = ", ".join(path.name for path, _ in models)
            raise UnknownFormat(f"{str(folder)!r} holds several models ({names}): name one of them") from unknown
        raise


def _renamed(stated: Manifest, name: str) -> Manifest:
    if not NAME.fullmatch(name):
        raise BundleError(f"{name!r} is no name for a model: expected letters, digits, '_', '.' and '-', at most 128")
    return msgspec.structs.replace(stated, name=name)
