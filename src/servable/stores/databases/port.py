"""Database: the port. Tables of a known layout, in which some only grow; whole transactions; one holder at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import sqlalchemy as sa


class Layout(NamedTuple):
    """The tables of a program. `upgrades[n]` are the statements that bring schema n - 1 to n, in any dialect."""

    name: str
    """What the tables are together, for messages: `the registry`."""
    schema: int
    tables: sa.MetaData
    upgrades: dict[int, tuple[str, ...]]
    only_added: tuple[str, ...]
    """Tables whose rows are never changed nor deleted: the database itself refuses."""


class Database(Protocol):
    """Where tables lie. Whatever the database or its driver says comes out as EnvironmentFault that names the place."""

    @property
    def place(self) -> str:
        """The file or the URL (without its password), for messages."""
        ...

    def read(self) -> AbstractContextManager[sa.Connection | None]:
        """A transaction that sees one state; None where nothing was ever written. Makes nothing."""
        ...

    def write(self) -> AbstractContextManager[sa.Connection]:
        """A transaction, on disk when it ends without an error, else undone. Tables of an older schema are upgraded."""
        ...

    def hold(self) -> AbstractContextManager[None]:
        """Be the only one, of all processes and machines, between a decision and its write. Given back by the dead."""
        ...
