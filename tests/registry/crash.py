"""Registers a bundle again and again, killed each time at a later line: `crash.py HOME OLD NEW`. Prints what was left.

HOME is a folder for many homes. In each, OLD is registered; then a child process begins to register NEW and is killed
(SIGKILL, by itself) at its n-th line of the registry's code. One line of output for each n: the versions that a reader
finds, the hidden folders left, and the versions after NEW is registered once more.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import servable.registry
from servable.bundles.open import open_bundle
from servable.domain.ref import Ref
from servable.registry.registry import Registry

OURS = str(Path(servable.registry.__file__).parent)


def killed_at(line: int, home: Path, folder: Path) -> bool:
    """Whether a child that registers `folder` met its end at this line, rather than reach its own."""
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(OURS):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        Registry(home).register(folder)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(homes: Path, old: Path, new: Path) -> None:
    template = homes / "template"
    Registry(template).register(old)
    for line in count(1):
        home = homes / str(line)
        shutil.copytree(template, home)
        killed = killed_at(line, home, new)
        found = Registry(home).catalog().model("scaler").living
        for version in found:
            open_bundle(home / "bundles" / version.digest)
        hidden = len(list((home / "bundles").glob(".*")))
        again = Registry(home).register(new)
        after = Registry(home).catalog().model("scaler").living
        Registry(home).open(Ref("scaler", again.version))
        swept = len(list((home / "bundles").glob(".*")))
        print(len(found), hidden, [version.version for version in after], swept, flush=True)
        shutil.rmtree(home)
        if not killed:
            return


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
