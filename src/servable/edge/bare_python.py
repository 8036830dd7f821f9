"""A Python with onnxruntime, what it brings, and nothing else, as a desktop has it: made of what is installed here."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

BRINGS: Final = "onnxruntime"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


@contextmanager
def bare_python() -> Iterator[tuple[list[str], dict[str, str]]]:
    """The beginning of a command, and its environment."""
    with tempfile.TemporaryDirectory(prefix="servable-edge-") as place:
        for package in _closure():
            for name, path in _tops(package):
                target = Path(place) / name
                if not target.exists():
                    target.symlink_to(path)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        # Without `site` nothing is found but the standard library and what lies in PYTHONPATH.
        yield [sys.executable, "-S", "-s"], {**kept, "PYTHONPATH": place, "PYTHONDONTWRITEBYTECODE": "1"}


def _closure() -> list[str]:
    """The distribution and those that it needs, of those installed."""
    found: dict[str, None] = {}
    waiting = [BRINGS]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # for another system, or of an extra
        found[name] = None
        waiting += [match[0] for need in needs if "extra ==" not in need and (match := _NAME.match(need))]
    return list(found)


def _tops(package: str) -> Iterator[tuple[str, Path]]:
    """What lies in `site-packages` of it."""
    installed = distribution(package)
    for name in {file.parts[0] for file in installed.files or [] if file.parts[0] not in {"..", "__pycache__"}}:
        yield name, Path(str(installed.locate_file(name)))
