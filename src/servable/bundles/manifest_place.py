"""Where in a manifest's text something stands, and what might stand there: for messages to who wrote it by hand.

A place is written as people and msgspec write it: `signature.inputs[1].shape`.
"""

from __future__ import annotations

import re
import types
import typing
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY: Final = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*=""")
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def line_of(text: str, place: str) -> int | None:
    r"""The line, from 1, on which a place begins; that of what it stands in, where it has none of its own.

    >>> line_of('name = "churn"\n[[files]]\npath = "a"\n[[files]]\npath = 7', "files[1].path")
    5
    """
    wanted = _steps(place)
    found, best = None, 0
    table: list[str | int] = []
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _table(header, counts)
            here = table
        elif key := _KEY.match(line):
            here = [*table, key[1].strip("\"'")]
        else:
            continue
        if here[:-1] == wanted:
            here = wanted  # the first of a list that is meant as a whole
        if len(here) > best and here == wanted[: len(here)]:
            found, best = number, len(here)
    return found


def _table(header: re.Match[str], counts: dict[str, int]) -> list[str | int]:
    """The place that a table's heading opens; of a list of tables with its index, that of its parents included."""
    names = [name.strip().strip("\"'") for name in header[2].split(".")]
    if header[1] == "[[":
        counts[".".join(names)] = counts.get(".".join(names), -1) + 1
        for inner in [name for name in counts if name.startswith(".".join(names) + ".")]:
            del counts[inner]
    steps: list[str | int] = []
    for depth, name in enumerate(names, 1):
        steps.append(name)
        if (index := counts.get(".".join(names[:depth]))) is not None:
            steps.append(index)
    return steps


def _steps(place: str) -> list[str | int]:
    return [int(index) if index else name for name, index in _STEP.findall(place)]


def words_at(kind: Any, place: str) -> tuple[str, ...]:
    """The words that a place takes, if it takes one of a few; of a struct's type."""
    for step in _steps(place):
        if isinstance(step, int):
            kind = next(iter(get_args(kind)), None)
            continue
        struct = next(
            (each for each in _choices(kind) if isinstance(each, type) and issubclass(each, msgspec.Struct)), None
        )
        if struct is None:
            return ()
        kind = typing.get_type_hints(struct).get(step)
    return tuple(str(word) for each in _choices(kind) if get_origin(each) is Literal for word in get_args(each) if word)


def value_at(tree: Any, place: str) -> Any:
    """What stands at a place of the parsed text; None where nothing does."""
    for step in _steps(place):
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in {typing.Union, types.UnionType} else (kind,)
