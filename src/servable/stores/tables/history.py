"""A table's past: going back to the generation before, and letting go of those nobody needs. For every store."""

from __future__ import annotations

from servable.errors import Conflict
from servable.stores.tables import policy
from servable.stores.tables.generation import Generation
from servable.stores.tables.port import Tables


def roll_back(tables: Tables, table: str) -> Generation:
    """Let readers see the generation before the live one. Raises NotFound, Conflict where there is none."""
    live = tables.live(table)
    to = policy.previous([generation.number for generation in tables.generations(table)], live.number)
    if to is None:
        raise Conflict(f"table {table!r} has no generation before {live.number}: nothing to roll back to")
    return tables.switch(table, to)


def retain(tables: Tables, table: str, keep: int) -> list[int]:
    """Drop what is more than `keep` generations; the numbers of those dropped."""
    numbers = [generation.number for generation in tables.generations(table)]
    gone = policy.surplus(numbers, tables.live(table).number, keep)
    for number in gone:
        tables.drop(table, number)
    return gone
