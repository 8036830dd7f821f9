"""Counts: what was looked up in a table by one door, plain integers; and how things stand with tables, pushes and jobs,
which is the same whichever door is asked. For whoever scrapes the metrics.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.domain.verdict import Verdict
from servable.errors import ServableError
from servable.offline.folder import JOBS, VERDICT
from servable.offline.push.outbox import CURSOR, PUSH, Cursor
from servable.stores.tables.generation import Generation
from servable.stores.tables.port import Tables

MOST: Final = 200
"""Tables, consumers and jobs that are told of."""


class Counts:
    """What was asked of one table: keys, those it had, of these the ones that are stale, and misses computed."""

    __slots__ = ("computed", "hits", "keys", "lookups", "stale")

    def __init__(self) -> None:
        self.lookups = self.keys = self.hits = self.stale = self.computed = 0

    def add(self, lookups: int, keys: int, hits: int, stale: int, computed: int = 0) -> None:
        self.lookups += lookups
        self.keys += keys
        self.hits += hits
        self.stale += stale
        self.computed += computed

    def snapshot(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


def standing(tables: Tables, seen: Sequence[Generation], home: Path) -> dict[str, Any]:
    """The live generations (of a store on another machine, those that were `seen`), what was pushed, what jobs did."""
    return {
        "tables": [
            {
                "table": one.table,
                "generation": one.number,
                "rows": one.rows,
                "made_at": one.made_at,
                "fresh_s": one.fresh_s,
            }
            for one in (seen if tables.blocking else _live(tables))
        ],
        "pushes": list(_pushes(home)),
        "jobs": list(_jobs(home)),
    }


def _live(tables: Tables) -> Iterator[Generation]:
    with contextlib.suppress(ServableError):
        for name in tables.names()[:MOST]:
            yield tables.live(name)


def _pushes(home: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((home / PUSH).glob(f"*/*/{CURSOR}"))[:MOST]:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            cursor = msgspec.json.decode(path.read_bytes(), type=Cursor)
            told = {"table": path.parent.parent.name, "consumer": cursor.consumer}
            yield told | {"sent": cursor.sent, "refused": cursor.refused, "dead": cursor.dead}


def _jobs(home: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((home / JOBS).glob(f"*/{VERDICT}"))[:MOST]:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            numbers = msgspec.json.decode(path.read_bytes(), type=Verdict).numbers
            told = {name: numbers.get(name, 0) for name in ("answered", "bad", "seconds")}
            yield {"job": path.parent.name, "ended": path.stat().st_mtime, **told}
