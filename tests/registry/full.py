"""Registers a bundle with little room: `full.py HOMES OLD NEW [disk]`. Prints what each said, and what is left.

In each home OLD is registered. Then a child may write files of at most so many bytes (RLIMIT_FSIZE, which a write meets
as it would a full disk: with an error), registers NEW, and tells how that ended. Last, with all the room there is.
With `disk`, HOMES is a small file system, and really filled but for so many bytes.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from pathlib import Path

from servable.bundles.open import open_bundle
from servable.errors import EnvironmentFault
from servable.registry.registry import Registry
from servable.registry.storage import INCOMING


def ended(limit: int, home: Path, folder: Path) -> str:
    """What a child said that could write no longer files than this."""
    child = os.fork()
    if child == 0:
        if sys.argv[4:] != ["disk"]:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            Registry(home).register(folder)
        except EnvironmentFault:
            os._exit(3)
        os._exit(0)
    return {0: "done", 3: "refused"}.get(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "broken")


def main(homes: Path, old: Path, new: Path) -> None:
    template = homes / "template"
    Registry(template).register(old)
    largest = max(path.stat().st_size for path in (*template.rglob("*"), *new.rglob("*")))
    for limit in (0, 1, 200, 4096, largest - 1, 1 << 20):
        home = homes / str(limit)
        shutil.copytree(template, home)
        filler = homes / "filler"
        if sys.argv[4:] == ["disk"]:
            room = os.statvfs(homes)
            filler.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - limit)))
        said = ended(limit, home, new)
        filler.unlink(missing_ok=True)
        found = Registry(home).catalog().model("scaler").living
        for version in found:
            open_bundle(home / "bundles" / version.digest)
        hidden = len(list((home / "bundles").glob(f"{INCOMING}*")))
        again = Registry(home).register(new)
        print(said, len(found), hidden, again.version, flush=True)
        shutil.rmtree(home)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
