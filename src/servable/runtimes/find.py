"""Finds the runtime of a format, and the format of a file.

Runtimes come in through the entry-point group `servable.runtimes`; the built-in ones use the same door. A format is
recognised by content alone: an extension can lie, and a silent fallback to another loader is how data becomes code.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from servable.domain.runtime import Runtime
from servable.errors import EnvironmentFault, UnknownFormat
from servable.runtimes.content import HEAD_BYTES, looks_like

GROUP: Final = "servable.runtimes"


@cache
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


@cache
def runtime(name: str) -> Runtime:
    """The runtime of this format. Raises UnknownFormat (lists those there are), EnvironmentFault (the plugin is
    broken).
    """
    point = _points().get(name)
    if point is None:
        raise UnknownFormat(
            f"no runtime for format {name!r}: there are {', '.join(_points()) or 'none; install servable'}"
        )
    try:
        plugin: Runtime = point.load()()
    except Exception as error:  # a wall: plugins are foreign code, and a broken one must say which it is
        raise EnvironmentFault(f"the runtime {name!r} ({point.value}) cannot be loaded: {error!r}") from error
    return plugin


def runtimes() -> dict[str, Runtime]:
    """Every runtime by its format's name. One that cannot be loaded is left out: `runtime(name)` says why."""
    found = {}
    for name in _points():
        try:
            found[name] = runtime(name)
        except EnvironmentFault:
            continue
    return found


def recognise(path: Path | str) -> Runtime:
    """The one runtime whose format the file or folder has, by its content. Raises UnknownFormat, saying what it looks
    like.

    >>> recognise(__file__)
    Traceback (most recent call last):
    ...
    servable.errors.UnknownFormat: 'find.py' is no model: it looks like plain text that starts with ...
    """
    path = Path(path)
    head = _head(path)
    known = runtimes()
    matches = [candidate for candidate in known.values() if candidate.recognises(path, head)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(candidate.name for candidate in matches)
        raise UnknownFormat(f"{path.name!r} could be of several formats ({names}): say which one with --format")
    raise UnknownFormat(
        f"{path.name or str(path)!r} is no model: it looks like {looks_like(path, head)}. Formats: {', '.join(known)}"
    )


def _head(path: Path) -> bytes:
    """The first bytes of a file; empty for a folder. Raises UnknownFormat where there is nothing to read."""
    if path.is_dir():
        return b""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise UnknownFormat(f"there is no file or folder {str(path)!r}") from None
    except OSError as error:
        raise UnknownFormat(f"cannot read {str(path)!r}: {error.strerror or error}") from error
