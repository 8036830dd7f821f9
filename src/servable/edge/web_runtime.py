"""onnxruntime-web: one pinned release, fetched by npm, held against a digest that is written here, kept in a cache.

Nothing of it is in this package: it is a dozen megabytes, and has its own licence, which goes with every export.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from servable.errors import DigestMismatch, EnvironmentFault

PACKAGE: Final = "onnxruntime-web"
VERSION: Final = "1.30.0"
INTEGRITY: Final = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""As package-lock files write it: SHA-512, base64."""

FILES: Final = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
WEBGPU_FILES: Final = (
    "ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm",
)  # fmt: skip
INLINE_FILES: Final = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
_TIMEOUT_S: Final = 600


def runtimes() -> dict[str, str]:
    """What computes on the device, by version."""
    return {PACKAGE: VERSION}


def cache_folder() -> Path:
    """Where archives are kept: `$XDG_CACHE_HOME/servable/edge`, or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "servable" / "edge"


@lru_cache(maxsize=3)  # an export asks for the same ones several times, and unpacking takes seconds
def read_files(names: tuple[str, ...], cache: Path | None = None) -> Mapping[str, bytes]:
    """Files of the release by name. Raises EnvironmentFault, DigestMismatch."""
    with tarfile.open(_archive(cache or cache_folder())) as archive:
        found = {}
        for name in names:
            member = archive.extractfile(f"package/dist/{name}")
            if member is None:
                raise EnvironmentFault(f"{PACKAGE} {VERSION} holds no {name!r}")
            found[name] = member.read()
    return MappingProxyType(found)


def _archive(cache: Path) -> Path:
    """The archive in the cache, checked each time; fetched where there is none."""
    kept = cache / f"{PACKAGE}-{VERSION}.tgz"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            fetched = _fetch(Path(folder))
            _check(fetched)
            fetched.replace(kept)
    _check(kept)
    return kept


def _fetch(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise EnvironmentFault(
            f"npm is needed once, to fetch {PACKAGE} {VERSION}: install it, or put the archive that "
            f"`npm pack {PACKAGE}@{VERSION}` makes elsewhere at {cache_folder() / f'{PACKAGE}-{VERSION}.tgz'}"
        )
    try:
        done = subprocess.run(
            [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(folder)],
            cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFault(f"npm did not fetch {PACKAGE} {VERSION} within {_TIMEOUT_S} s: try again") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise EnvironmentFault(
            f"npm cannot fetch {PACKAGE} {VERSION}: {done.stderr.strip()[-400:] or 'no archive came'}"
        )
    return archives[0]


def _check(archive: Path) -> None:
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != INTEGRITY:
        raise DigestMismatch(
            f"{archive.name!r} is {found}, expected {INTEGRITY}: it is not the release that this version of Servable "
            "was tried with, or was cut off; remove it and export again"
        )
