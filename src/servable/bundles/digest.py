"""SHA-256 of files and folders, and the walk that both writing and opening a bundle use."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from servable.domain.bundle import MANIFEST, File
from servable.errors import BundleError


def of_bytes(data: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path, root: Path) -> File:
    """The file's entry in a manifest, its path relative to `root`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    return File(path.relative_to(root).as_posix(), size, digest)


def of_tree(root: Path) -> tuple[File, ...]:
    """Every file below `root` but the manifest, by path."""
    return tuple(of_file(path, root) for path in walk(root) if path != root / MANIFEST)


def walk(root: Path) -> list[Path]:
    """Every file below `root`, by path. Raises BundleError for a link, a device, a pipe: a bundle holds plain files."""
    found: list[Path] = []
    waiting = [root]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                waiting.append(path)
            elif stat.S_ISREG(mode):
                found.append(path)
            else:
                what = "a symbolic link" if stat.S_ISLNK(mode) else "not a plain file"
                raise BundleError(
                    f"{path.relative_to(root).as_posix()!r} in the bundle is {what}: a bundle holds plain files"
                )
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())
