"""A bundle as one piece: a tar of its files, to be sent to another machine. Unpacking one runs no code and leaves
nothing outside its folder.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import Final

from servable.bundles import digest
from servable.bundles.write import write_file
from servable.domain.bundle import MANIFEST
from servable.errors import BundleError

MAX_FILES: Final = 10_000
"""In one bundle. A model of more files is one that nobody has seen."""
MAX_PATH: Final = 1024


def archive(folder: Path) -> bytes:
    """The files of a bundle. Equal bundles give equal bytes: no times, owners or modes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in digest.walk(folder):
            data = path.read_bytes()
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def unpack(data: bytes, target: Path) -> None:
    """Write what an archive holds into a new folder: plain files with plain paths, and nothing else.

    What they hold is judged by who opens the bundle. Raises BundleError for links, devices, paths that lead out, the
    same path twice, and for what is no archive. Memory and disk are bounded by the archive's own size: it is not
    compressed, and a hole in a file is refused.
    """
    target.mkdir(mode=0o700)
    seen: set[str] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for entry in tar:
                if entry.isdir():
                    continue
                path = _plain(entry, seen)
                if entry.size > len(data) or entry.issparse():
                    raise BundleError(f"{path!r} in the archive is said to be larger than the archive itself")
                file = tar.extractfile(entry)
                content = b"" if file is None else file.read()
                if len(content) != entry.size:
                    raise BundleError(f"the archive ends in the middle of {path!r}: send it again")
                write_file(target / path, content)
    except tarfile.TarError as error:
        raise BundleError(f"the body is no tar archive of a bundle: {error}") from error
    except OSError as error:
        raise BundleError(f"cannot unpack the archive: {error.strerror or error}") from error
    if MANIFEST not in seen:
        raise BundleError(f"the archive holds no {MANIFEST}: expected the files of a bundle, without a folder around")


def _plain(entry: tarfile.TarInfo, seen: set[str]) -> str:
    pure = PurePosixPath(entry.name)
    path = pure.as_posix()
    if not entry.isreg():
        raise BundleError(f"{entry.name!r} in the archive is no plain file: a bundle holds plain files")
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or path in {"", "."}:
        raise BundleError(f"{entry.name!r} in the archive: expected a plain path inside the bundle's folder")
    if len(path) > MAX_PATH or len(seen) >= MAX_FILES:
        raise BundleError(f"the archive holds more than {MAX_FILES} files, or a path longer than {MAX_PATH}")
    if path in seen:
        raise BundleError(f"{path!r} is in the archive twice")
    seen.add(path)
    return path
