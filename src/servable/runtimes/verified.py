"""Reads a bundle's files, and checks the bytes that are going to be used, not those that lay there a moment ago."""

from __future__ import annotations

import hashlib
from pathlib import Path

from servable.domain.bundle import Bundle
from servable.errors import CorruptModel, DigestMismatch


def read(bundle: Bundle, path: Path | None = None) -> bytes:
    """The bytes of the bundle's model file, or of `path`. Raises CorruptModel, DigestMismatch."""
    file = bundle.model_path if path is None else path
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CorruptModel(f"cannot read {file.name!r} of bundle {bundle.name!r}: {error.strerror or error}") from error
    check(bundle, file, data)
    return data


def check(bundle: Bundle, path: Path, data: bytes | memoryview) -> None:
    """Raise DigestMismatch unless `data` is what the manifest says `path` holds."""
    relative = path.relative_to(bundle.folder).as_posix()
    for listed in bundle.manifest.files:
        if listed.path == relative:
            found = hashlib.sha256(data).hexdigest()
            if found != listed.sha256:
                raise DigestMismatch(
                    f"{relative!r} of bundle {bundle.name!r} has SHA-256 {found}, the manifest says {listed.sha256}: "
                    "the file was changed or damaged after packing; pack or copy the bundle again"
                )
            return
    raise DigestMismatch(f"{relative!r} is not listed in the manifest of bundle {bundle.name!r}: pack the bundle again")
