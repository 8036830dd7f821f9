"""Environments: the libraries of a bundle that names its own. Its requirements are installed once into
`<home>/environments/<digest>`, from wheels only: building a package would run its code here.

Used where such a model is packed, and where the supervisor starts its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from servable.errors import EnvironmentFault, unreadable

ENVIRONMENTS: Final = "environments"
"""Of SERVABLE_HOME."""
OURS: Final = ("numpy>=1.26", "msgspec>=0.19", "tomli-w>=1.1")
"""What the process's own code needs besides the model's libraries."""
INSTALL_TIMEOUT_S: Final = 1800.0
WHOLE: Final = "servable-requirements.txt"
"""Written into an environment last of all."""

_building = threading.Lock()


def interpreter(folder: Path, options: Mapping[str, Any], environments: Path) -> Path | None:
    """The interpreter that the bundle in `folder` asks for by the options of its manifest; None: ours will do. Raises
    EnvironmentFault.
    """
    if options.get("requirements"):
        return build(folder / str(options["requirements"]), environments)
    return Path(options["python"]) if options.get("python") else None


def build(requirements: Path, folder: Path) -> Path:
    """The interpreter of the environment with these requirements, made if it is not there. Raises EnvironmentFault."""
    try:
        text = requirements.read_bytes()
    except OSError as error:
        raise unreadable(requirements, error) from error
    digest = hashlib.sha256(b"%s %s\n%s" % (sys.version.encode(), " ".join(OURS).encode(), text)).hexdigest()[:24]
    place = folder / digest
    python, whole = place / "bin" / "python", place / WHOLE
    if whole.exists():
        return python
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"cannot make {str(folder)!r}, for the libraries that a model names: {error}") from error
    with _building, _one_process(place.with_suffix(".lock")):
        if not whole.exists():
            # An environment knows its own path, so it is made in place; a mark tells a whole one from a torn one.
            _run([sys.executable, "-m", "venv", "--clear", str(place)], requirements)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--no-input"]
            _run([*pip, "-r", str(requirements), *OURS], requirements)
            whole.write_bytes(text)
    return python


@contextlib.contextmanager
def _one_process(lock: Path) -> Iterator[None]:
    """Hold it. The workers of a bulk job all want the same environment at the same time, and one makes it."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def path_for(folder: Path) -> Path:
    """A folder below this one that holds this package and nothing else, so that another interpreter finds it and none
    of our libraries.
    """
    path = folder / "path"
    path.mkdir(mode=0o700, exist_ok=True)
    link = path / "servable"
    if not link.is_symlink():
        link.symlink_to(Path(__file__).resolve().parents[1])
    try:
        ours = importlib.metadata.distribution("servable")
    except importlib.metadata.PackageNotFoundError:
        return path  # runtimes are then not found, which the process will say
    information = path / f"servable-{ours.version}.dist-info"
    information.mkdir(mode=0o700, exist_ok=True)
    for name in ("METADATA", "entry_points.txt"):
        (information / name).write_text(ours.read_text(name) or "", encoding="utf-8")
    return path


def _run(command: list[str], requirements: Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFault(f"cannot make an environment for {requirements.name}: {error}") from error
    if done.returncode != 0:
        last = " ".join(done.stderr.strip().splitlines()[-3:])
        raise EnvironmentFault(f"cannot make an environment for {requirements.name}: {last[:1000]}")
