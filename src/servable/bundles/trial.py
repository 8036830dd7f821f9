"""Loads a bare file in a process of its own first, where a broken one can kill the process that parses it.

The native parsers of tree libraries trust their files: a flipped bit can crash them, a made one may do worse. A bundle
is protected by its digests; a bare file is tried here, behind the walls of the sandbox, before a server or a notebook
takes it in. Run as a program by `survive`. What has passed once is remembered by its digest, in the user's cache: a
trial takes a second or two.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from servable.errors import CorruptModel, EnvironmentFault, ServableError
from servable.runtimes.versions import installed
from servable.sandbox import walls
from servable.sandbox.environment import environment
from servable.settings import load_settings

TIMEOUT_S: Final = 60.0
NO_WALLS: Final = 4
"""The exit code where the sandbox lacks layers that the settings require."""


def survive(path: Path, library: str) -> None:
    """Return if loading the file, and asking it one row, ends as programs end. Raises CorruptModel if it does not,
    EnvironmentFault where it may not be tried for want of a sandbox.

    An error that Python sees is no reason: whoever loads it next will meet and explain it. Nor is there one in a
    process that stands behind walls itself: it is there to die of such a file.
    """
    if walls.entered():
        return
    remembered = _remembered(path, library)
    if remembered.is_file():
        return
    mode = load_settings().sandbox
    with tempfile.TemporaryDirectory(prefix="servable-trial-") as scratch:
        command = [sys.executable, "-P", "-m", "servable.bundles.trial", str(path), scratch, mode]
        try:
            done = subprocess.run(
                command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise CorruptModel(f"{library} does not come to an end with {path.name!r}: the file is broken") from error
    if done.returncode == NO_WALLS:
        raise EnvironmentFault(
            f'{path.name!r} cannot be tried: sandbox = "required", and this machine lacks some of it'
        )
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise CorruptModel(f"{path.name!r} kills {library} as it loads ({name}): the file is broken or cut off")
    if done.returncode == 0:
        with contextlib.suppress(OSError):  # a cache that cannot be written costs another trial
            remembered.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            remembered.touch(mode=0o600)


def _remembered(path: Path, library: str) -> Path:
    """The file whose presence says that these bytes have passed with this version of the library."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return cache / "servable" / "tried" / f"{digest}-{library}-{installed(library)}"


def main(path: Path, around: walls.Walls) -> None:
    """Load a file and ask it the plainest row: in a process that may die of it."""
    try:
        walls.enter(around)
    except EnvironmentFault:
        sys.exit(NO_WALLS)
    # Only now: these import numpy, which starts threads, and the walls bind those that come after them.
    from servable.bundles.bare import bare
    from servable.runtimes.find import recognise, runtime

    try:
        bundle = bare(path, recognise(path))
        runtime(bundle.manifest.format).load(bundle).predict(bundle.signature.example(2))
    except ServableError as error:
        sys.exit(error.exit_code)


if __name__ == "__main__":
    tried = Path(sys.argv[1])
    main(tried, walls.Walls(tried.stem, walls.of_model(tried), sys.argv[2], mode=sys.argv[3]))  # type: ignore[arg-type]
