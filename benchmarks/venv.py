"""An environment of its own for each peer, made once: no peer's dependencies meet another's, or ours."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

VENVS: Final = Path(__file__).resolve().parent.parent / ".venvs"
STAMP: Final = "benchmark.stamp"
WORDS: Final = 300
"""How much of pip's complaint is shown."""


def python_of(name: str, packages: tuple[str, ...]) -> Path:
    """The Python of the environment `name` with `packages`, installed now unless it was before. Raises NotInstalled."""
    folder = VENVS / name
    python = folder / "bin" / "python"
    stamp = hashlib.sha256(json.dumps([sys.version, packages]).encode()).hexdigest()
    marker = folder / STAMP
    if marker.exists() and marker.read_text() == stamp:
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", *packages])
    marker.write_text(stamp)
    return python


def versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of the packages in that environment."""
    code = "import json,sys,importlib.metadata as m; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    names = [package.partition("=")[0].partition("<")[0].partition("[")[0] for package in packages]
    out = subprocess.run([str(python), "-c", code, *names], capture_output=True, text=True, check=True).stdout
    return dict(json.loads(out))


def _run(command: list[str]) -> None:
    # The environment we run in must not leak into the one that is made.
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        words = " ".join((done.stderr.strip() or done.stdout.strip()).split())[-WORDS:]
        raise NotInstalled(f"{' '.join(command[1:4])} failed: {words}")


class NotInstalled(Exception):
    """A peer that this machine cannot have; the reason stands in the table."""
