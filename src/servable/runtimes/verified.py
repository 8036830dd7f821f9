"""Reads a bundle's files, and checks the bytes that are going to be used, not those that lay there a moment ago."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from servable.domain.bundle import Bundle, File
from servable.errors import CorruptModel, DigestMismatch

CHUNK: Final = 1 << 20
DESCRIPTORS: Final = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")


def read(bundle: Bundle, path: Path | None = None) -> bytes:
    """The bytes of the bundle's model file, or of `path`. Raises CorruptModel, DigestMismatch."""
    file = bundle.model_path if path is None else path
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CorruptModel(f"cannot read {file.name!r} of bundle {bundle.name!r}: {error.strerror or error}") from error
    check(bundle, file, data)
    return data


@contextmanager
def copied(bundle: Bundle) -> Iterator[Path]:
    """A copy of the bundle's model (a file or a folder) for a library that opens paths itself: every byte was checked
    on its way there, and nobody else can reach it. Gone afterwards. Raises CorruptModel, DigestMismatch.
    """
    model = bundle.manifest.model
    with tempfile.TemporaryDirectory(prefix="servable-model-") as folder:
        for listed in bundle.manifest.files:
            if listed.path == model or listed.path.startswith(f"{model}/"):
                _copy(bundle, listed, Path(folder) / listed.path)
        yield Path(folder) / model


@contextmanager
def pinned(bundle: Bundle) -> Iterator[Path]:
    """A path of the bundle's model file for a library that opens paths itself, and of weights too large to copy: it
    leads to the very file whose bytes were checked, whatever has taken its name since. What is written into that file
    later is seen, as with everything that is mapped: bundles are not written to. Raises CorruptModel, DigestMismatch.
    """
    path = bundle.model_path
    try:
        file = path.open("rb")
    except OSError as error:
        raise CorruptModel(f"cannot read {path.name!r} of bundle {bundle.name!r}: {error.strerror or error}") from error
    with file:
        hashed = hashlib.file_digest(file, "sha256").hexdigest()
        for listed in bundle.manifest.files:
            if listed.path == bundle.manifest.model:
                _same(bundle, listed, hashed)
        yield DESCRIPTORS / str(file.fileno())


def _copy(bundle: Bundle, listed: File, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    hashed = hashlib.sha256()
    try:
        with (bundle.folder / listed.path).open("rb") as source, target.open("wb") as copy:
            while chunk := source.read(CHUNK):
                hashed.update(chunk)
                copy.write(chunk)
    except OSError as error:
        raise CorruptModel(f"cannot copy {listed.path!r} of {bundle.name!r}: {error.strerror or error}") from error
    _same(bundle, listed, hashed.hexdigest())


def check(bundle: Bundle, path: Path, data: bytes | memoryview) -> None:
    """Raise DigestMismatch unless `data` is what the manifest says `path` holds."""
    relative = path.relative_to(bundle.folder).as_posix()
    for listed in bundle.manifest.files:
        if listed.path == relative:
            _same(bundle, listed, hashlib.sha256(data).hexdigest())
            return
    raise DigestMismatch(f"{relative!r} is not listed in the manifest of bundle {bundle.name!r}: pack the bundle again")


def _same(bundle: Bundle, listed: File, found: str) -> None:
    if found != listed.sha256:
        raise DigestMismatch(
            f"{listed.path!r} of bundle {bundle.name!r} has SHA-256 {found}, the manifest says {listed.sha256}: the "
            "file was changed or damaged after packing; pack or copy the bundle again"
        )
