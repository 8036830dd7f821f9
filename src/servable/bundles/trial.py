"""Loads a bare file in a process of its own first, where a broken one can kill the process that parses it.

The native parsers of tree libraries trust their files: a flipped bit can crash them. A bundle is protected by its
digests; a bare file is tried here before a server, or a notebook, takes it in. Run as a program by `survive`. What has
passed once is remembered by its digest, in the user's cache: a trial takes a second or two.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from servable.errors import CorruptModel, ServableError
from servable.runtimes.versions import installed

TIMEOUT_S: Final = 60.0


def survive(path: Path, library: str) -> None:
    """Return if loading the file, and asking it one row, ends as programs end. Raises CorruptModel if it does not.

    An error that Python sees is no reason: whoever loads it next will meet and explain it.
    """
    remembered = _remembered(path, library)
    if remembered.is_file():
        return
    command = [sys.executable, "-m", "servable.bundles.trial", str(path)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CorruptModel(f"{library} does not come to an end with {path.name!r}: the file is broken") from error
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


def main(path: Path) -> None:
    """Load a file and ask it the plainest row: in a process that may die of it."""
    from servable.bundles.open import bare
    from servable.runtimes.find import recognise, runtime

    try:
        bundle = bare(path, recognise(path))
        runtime(bundle.manifest.format).load(bundle).predict(bundle.signature.example(2))
    except ServableError as error:
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
