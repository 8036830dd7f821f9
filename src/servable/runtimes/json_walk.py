"""Every object in a JSON document, however deep: for judging a file by what stands anywhere in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def objects(document: Any) -> Iterator[dict[str, Any]]:
    """Without recursion: a file may be nested deeper than the stack is.

    >>> [sorted(entry) for entry in objects([{"a": {"b": [{"c": 1}]}}])]
    [['a'], ['b'], ['c']]
    """
    waiting = [document]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, list):
            waiting.extend(entry)
        elif isinstance(entry, dict):
            waiting.extend(entry.values())
            yield entry
