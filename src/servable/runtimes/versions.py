"""Compares the version of a library inside a model file with the one that is installed."""

from __future__ import annotations

import re

from servable.errors import IncompatibleModel


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
