"""The port: what a database must be able to do to hold tables. `tests/contracts/test_tables.py` judges every adapter.

Promises of all of them: a generation is visible when it is finished, whole, and not before, whenever a process dies.
Switching is one act: a reader sees all of the old or all of the new. One writer a table at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, Self

import msgspec

from servable.stores.tables.generation import Generation

Keep = Literal["first", "last"]
"""Which of two answers to one key stays, in the order of writing."""

MAX_KEY_BYTES = 511
"""The longest key that every store takes."""


class Found(msgspec.Struct, frozen=True):
    """What was read, all of it from one generation: an answer for each key, None where there is none."""

    generation: Generation
    answers: list[bytes | None]


class Writer(Protocol):
    """Fills one generation. It ends with `finish` or, at the end of the `with` block, without a trace."""

    generation: Generation
    """With its number; the rows are counted at the end."""

    def write(self, keys: Sequence[bytes], answers: Sequence[bytes], keep: Keep = "last") -> int:
        """Add a block; how many of its keys were new."""
        ...

    def finish(self) -> Generation:
        """Make it durable and visible among the table's generations. It is not live yet: see `Tables.switch`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None:
        """Without `finish` all that was written is gone."""
        ...


class Tables(Protocol):
    """All tables of one database. Methods raise Unavailable where the database cannot be reached, EnvironmentFault
    where it cannot write.
    """

    blocking: bool
    """Whether a look-up waits for another machine, and belongs on a thread."""

    def names(self) -> list[str]:
        """Tables that have a live generation, in alphabetical order."""
        ...

    def generations(self, table: str) -> list[Generation]:
        """The finished ones, oldest first."""
        ...

    def live(self, table: str) -> Generation:
        """The one that readers see. Raises NotFound."""
        ...

    def begin(self, stated: Generation) -> Writer:
        """Start another generation of its table. Raises Conflict while somebody else writes one.

        What a writer that died left behind is removed first.
        """
        ...

    def switch(self, table: str, number: int) -> Generation:
        """Let readers see this generation from now on. Raises NotFound."""
        ...

    def read(self, table: str, keys: Sequence[bytes], number: int | None = None) -> Found:
        """The answers to some keys from the live generation, or from the one of this number. Raises NotFound."""
        ...

    def scan(self, table: str, number: int) -> Iterator[list[tuple[bytes, bytes]]]:
        """All keys and answers of a generation, in blocks, in no promised order; a store may give a key twice.

        Raises NotFound.
        """
        ...

    def remember(self, generation: Generation, keys: Sequence[bytes], answers: Sequence[bytes]) -> None:
        """Add answers that were computed later to a finished generation; a key that it holds already stays."""
        ...

    def drop(self, table: str, number: int | None = None) -> None:
        """Remove a generation that is not live, or the whole table. Raises NotFound, Conflict."""
        ...

    def close(self) -> None:
        """Give back connections and files."""
        ...
