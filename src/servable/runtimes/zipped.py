"""Zip files that hold a model: judged by their directory, before anything in them is read or unpacked.

For formats that are such archives: Keras, PyTorch, TorchScript, skops. What is inside is the affair of each.
"""

from __future__ import annotations

import stat
import zipfile
from pathlib import PurePosixPath
from typing import Final

from servable.errors import UnsafeModel

LARGEST_RATIO: Final = 100
"""How many times its own size an archive may hold: weights that were trained are hardly compressed at all."""
HARMLESS_BYTES: Final = 64 << 20
"""What any archive may hold."""


def judge(archive: zipfile.ZipFile, packed_bytes: int, name: str) -> None:
    """Raise UnsafeModel for a path that leads out, a link, the same path twice, and for what swells beyond measure."""
    seen: set[str] = set()
    unpacked = 0
    for entry in archive.infolist():
        path = entry.orig_filename
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
            raise UnsafeModel(_refusal(name, f"a path that leads out of it: {path!r}"))
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UnsafeModel(_refusal(name, f"a link, {path!r}"))
        if path in seen:
            raise UnsafeModel(_refusal(name, f"{path!r} twice"))
        seen.add(path)
        unpacked += entry.file_size
    if unpacked > max(HARMLESS_BYTES, LARGEST_RATIO * packed_bytes):
        raise UnsafeModel(_refusal(name, f"{unpacked >> 20} MiB in {packed_bytes >> 10} KiB, more than weights do"))


def _refusal(name: str, what: str) -> str:
    return f"{name!r} is an archive that holds {what}. Nothing was unpacked. Save the model again"
