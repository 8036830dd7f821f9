"""Compares the version of a library inside a model file with the one that is installed."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Final

from servable.errors import IncompatibleModel

STABLE: Final = frozenset({"numpy", "scipy", "pandas", "joblib"})
"""Libraries whose pickled objects hold from one minor version to the next."""


def parts(version: str) -> tuple[int, ...]:
    """The leading numbers of a version.

    >>> parts("1.9.1.dev0")
    (1, 9, 1)
    """
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def not_newer(library: str, made_by: str, installed: str, name: str) -> None:
    """Raise IncompatibleModel where the file is of a newer major or minor version than the library here."""
    if parts(made_by)[:2] > parts(installed)[:2]:
        raise IncompatibleModel(
            f"{name!r} was made by {library} {made_by}, and {library} {installed} is installed: an older library can "
            f"load it and predict wrong. Run  pip install '{library}>={made_by}'  or save the model with {installed}"
        )


def installed(library: str) -> str | None:
    """The version of a library that is installed here, under its own name or that of its build for CPUs."""
    for name in (library, f"{library}-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def same(library: str, made_by: str, name: str) -> None:
    """Raise IncompatibleModel unless the library is here in the major and minor version that made the file, or in the
    same major version for those whose stored objects hold that long.
    """
    here = installed(library)
    depth = 1 if library in STABLE else 2
    if here is None or parts(made_by)[:depth] != parts(here)[:depth]:
        found = f"{library} {here} is installed" if here else f"{library} is not installed"
        raise IncompatibleModel(
            f"{name!r} was made by {library} {made_by}, and {found}: it could fail, or answer differently. Pack it "
            f"with --requirements FILE that says {library}=={made_by}, or run  pip install '{library}=={made_by}'"
        )
