"""Generation: one complete set of a table's answers, and what is known of it. A reader sees one of them, never two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from servable.domain.field import Field
from servable.domain.ref import NAME
from servable.errors import NotFound, UsageError

KeyKind = Literal["integer", "text"]


class Generation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a generation holds: the answers of one version of a model, made at one time.

    `number` and `rows` are given by the store. `made_at` is in seconds since the epoch. Past `fresh_s` its answers are
    stale, and say so; None: never. `on_miss`: what a reader does about a key that is not there. `columns` are the
    model's outputs.
    """

    table: str
    model: str
    version: str
    digest: str
    made_at: float
    key: KeyKind
    columns: tuple[Field, ...]
    key_name: str = "key"
    fresh_s: float | None = None
    on_miss: Literal["refuse", "predict"] = "refuse"
    number: int = 0
    rows: int = 0

    def __post_init__(self) -> None:
        demand_name(self.table)

    def age_s(self, now: float) -> float:
        """Seconds since it was made; never less than 0, whatever the clocks say."""
        age_s = now - self.made_at
        return age_s if age_s > 0.0 else 0.0  # noqa: FURB136 - each answer says its age: half the time of max()

    def stale(self, now: float) -> bool:
        """Whether it is older than its table allows."""
        return self.fresh_s is not None and self.age_s(now) > self.fresh_s


def demand_name(table: str) -> str:
    """The name, if it can be one of a table. Raises UsageError."""
    if not NAME.fullmatch(table):
        raise UsageError(
            f"{table!r} cannot name a table: expected letters, digits, '_', '.' and '-', starting with a letter or "
            "digit, at most 128 long"
        )
    return table


def unknown(table: str, names: Sequence[str]) -> NotFound:
    """The error for a table that is not there."""
    there = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return NotFound(f"there is no table {table!r} (there are: {there or 'none'})", table=table)


def lacking(table: str, number: int, generations: Sequence[Generation]) -> NotFound:
    """The error for a generation that is not there."""
    there = ", ".join(str(generation.number) for generation in generations) or "none"
    return NotFound(f"table {table!r} has no generation {number} (there are: {there})", table=table)
