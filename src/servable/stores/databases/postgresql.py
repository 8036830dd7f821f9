"""PostgreSQL: the same tables for many machines. What is committed is on the server's disk (`synchronous_commit`).

`hold` is an advisory lock of a session: a process or machine that dies loses its session, and with it the lock.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa

from servable.errors import EnvironmentFault, MissingExtra
from servable.stores.databases.port import Layout

CONNECT_S: Final = 10
"""How long a server may take to answer at all."""
PATIENCE_S: Final = 30
"""How long a statement waits for another's lock."""


class PostgreSQL:
    """Tables in the database of a URL, in the first schema of its search path."""

    def __init__(self, url: sa.URL, layout: Layout, *, lasting: bool = False) -> None:
        """`lasting`: connections are kept, for who comes often. Raises MissingExtra. Connects with the first
        transaction, not before.
        """
        try:
            import psycopg  # noqa: F401 - asked for here, where the extra can be named
        except ImportError as error:
            raise MissingExtra("postgresql", "keep the registry in PostgreSQL", missing=error.name) from error
        self._layout = layout
        self._url = url.set(drivername="postgresql+psycopg")
        options = f"-c lock_timeout={PATIENCE_S}s -c synchronous_commit=on"
        self._connecting: dict[str, Any] = {"connect_timeout": CONNECT_S, "options": options}
        kept: dict[str, Any] = {"pool_pre_ping": True} if lasting else {"poolclass": sa.NullPool}
        self._engine = sa.create_engine(self._url, connect_args=self._connecting, **kept)
        self._lasting = lasting
        self._known = 0
        """The schema, once it was seen by one whose connections last."""
        self._about = sa.Table(
            f"{layout.tables.sorted_tables[0].name}_schema",
            sa.MetaData(),
            sa.Column("schema", sa.Integer, nullable=False),
        )

    @property
    def place(self) -> str:
        return str(self._url.set(drivername="postgresql").render_as_string(hide_password=True))

    @contextmanager
    def read(self) -> Iterator[sa.Connection | None]:
        with self._wall("read"), self._engine.connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection if self._schema(connection) else None

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with self._wall("write"), self._engine.begin() as connection:
            found = self._schema(connection)
            if found < self._layout.schema:
                self._upgrade(connection, found)
            yield connection

    @contextmanager
    def hold(self) -> Iterator[None]:
        key = zlib.crc32(self._about.name.encode())
        with self._wall("lock"):
            held = self._engine.connect()
        try:
            with self._wall("lock"):
                held.execute(sa.select(sa.func.pg_advisory_lock(key)))
                held.commit()  # the session keeps the lock; no transaction stays open meanwhile
            yield
        finally:
            held.invalidate()  # the session ends, whether connections are kept or not
            held.close()

    def heard(self, channel: str, over: Callable[[], bool], pause_s: float) -> Iterator[str]:
        """What is said on a channel (`NOTIFY`), as it is said, and nothing (`""`) once in `pause_s`: for a thread of
        its own, until it is `over`.
        """
        import psycopg

        _, words = self._engine.dialect.create_connect_args(self._url)
        with self._wall("listen to"):
            try:
                with psycopg.connect(**words, **self._connecting, autocommit=True) as connection:
                    connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
                    while not over():
                        yield ""
                        yield from (said.payload for said in connection.notifies(timeout=pause_s, stop_after=1))
            except psycopg.Error as error:
                raise sa.exc.DBAPIError("LISTEN", None, error) from error

    def close(self) -> None:
        """Let go of the connections that were kept."""
        self._engine.dispose()

    def _schema(self, connection: sa.Connection) -> int:
        if self._known:
            return self._known
        if not sa.inspect(connection).has_table(self._about.name):
            return 0
        found = int(connection.execute(sa.select(self._about.c["schema"])).scalar_one())
        if found > self._layout.schema:
            raise EnvironmentFault(
                f"{self._layout.name} in {self.place} has schema {found}, this program reads up to "
                f"{self._layout.schema}: install a newer servable"
            )
        if self._lasting and found == self._layout.schema:
            self._known = found
        return found

    def _upgrade(self, connection: sa.Connection, found: int) -> None:
        """Bring the tables to our schema, in the transaction of the first write."""
        for schema in range(found + 1, self._layout.schema + 1) if found else ():
            for statement in self._layout.upgrades.get(schema, ()):
                connection.exec_driver_sql(statement)
        self._layout.tables.create_all(connection)
        self._about.create(connection, checkfirst=True)
        connection.execute(sa.delete(self._about))
        connection.execute(sa.insert(self._about).values({"schema": self._layout.schema}))
        for table in self._layout.only_added:
            connection.exec_driver_sql(
                f"CREATE OR REPLACE FUNCTION {table}_only_added() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION '{table} are only added'; END $$"
            )
            connection.exec_driver_sql(
                f"CREATE OR REPLACE TRIGGER {table}_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_only_added()"
            )

    @contextmanager
    def _wall(self, act: str) -> Iterator[None]:
        """What the server and its driver say becomes one error that names the place."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            said = " ".join(str(error.orig).split())
            raise EnvironmentFault(
                f"cannot {act} {self._layout.name} in {self.place}: {said}; see that the server runs and lets us in"
            ) from error
