"""Writes a bundle: all of it or nothing. The same bytes in give the same digest out.

Files are written to a folder of their own beside the target, flushed to disk, and the folder renamed into place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec

from servable.bundles import digest, manifest
from servable.domain.bundle import MANIFEST, SIGNATURES, Bundle, Manifest
from servable.errors import BundleError, Conflict
from servable.stores.whole import sync


def write_bundle(
    target: Path, stated: Manifest, files: Mapping[str, bytes | Path], *, by_digest: bool = False
) -> Bundle:
    """Make the folder `target` of a manifest and files (path inside the bundle to bytes, or to a file to copy).

    `by_digest`: `target` is a folder of bundles, and this one is named by its digest in there. The manifest's `files`
    are filled in. A bundle with the same digest that is there already is left as it is; anything
    else there is refused. Raises Conflict, BundleError.
    """
    parent = target if by_digest else target.parent
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".packing-", dir=parent))
    try:
        for path, content in files.items():
            write_file(work / inside(path), content)
        whole = msgspec.structs.replace(stated, files=digest.of_tree(work))
        data = manifest.dumps(whole)
        write_file(work / MANIFEST, data)
        for folder in sorted({path.parent for path in digest.walk(work)}):
            sync(folder)
        named = digest.of_bytes(data)
        made = Bundle(parent / named if by_digest else target, manifest.loads(data), named)
        if not _there(made.folder, made):
            work.rename(made.folder)
            sync(parent)
    except OSError as error:
        raise BundleError(f"cannot write the bundle {str(target)!r}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return made


def _there(target: Path, made: Bundle) -> bool:
    """Whether the same bundle is there already. Raises Conflict where something else is."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    found = target / MANIFEST
    if found.is_file() and digest.of_bytes(found.read_bytes()) == made.digest:
        return True
    raise Conflict(f"{str(target)!r} exists already and is not this bundle: choose another place, or remove it first")


def inside(path: str) -> PurePosixPath:
    """The path, if a bundle may hold a file there. Raises BundleError."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or path in {MANIFEST, SIGNATURES}:
        raise BundleError(f"{path!r} is no place for a file inside a bundle")
    return pure


def write_file(path: Path, content: bytes | Path) -> None:
    """A file of bytes, or a copy of another, on disk when this returns; the folders above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if isinstance(content, Path):
            with content.open("rb") as source:
                shutil.copyfileobj(source, file)
        else:
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
