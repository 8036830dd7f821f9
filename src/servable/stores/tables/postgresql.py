"""Tables in PostgreSQL: a table of rows a generation, and two that say which there are and which is live.

A generation is filled and finished in one transaction, so PostgreSQL itself sees to it that nobody sees half of one,
and that nothing is left of a writer that died.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self

import msgspec

from servable.errors import Conflict, EnvironmentFault, MissingExtra, Unavailable
from servable.stores.tables.generation import Generation, lacking, unknown
from servable.stores.tables.port import Found, Keep

SCAN_ROWS: Final = 10_000
MADE: Final = """
CREATE TABLE IF NOT EXISTS servable_generations
  (name text, number bigint, stated bytea NOT NULL, PRIMARY KEY (name, number));
CREATE TABLE IF NOT EXISTS servable_tables (name text PRIMARY KEY, next bigint NOT NULL DEFAULT 1, live bigint);
"""
MADE_LOCK: Final = 5_701_942
"""Two that make the tables at once would trip over each other."""
LIVE: Final = """
SELECT g.stated FROM servable_tables t JOIN servable_generations g ON g.name = t.name AND g.number = t.live
WHERE t.name = %s
"""
STAGED: Final = """
INSERT INTO {rows} SELECT DISTINCT ON (key) key, answer FROM staged ORDER BY key, place {order}
ON CONFLICT (key) DO {act}
"""

_decode = msgspec.json.Decoder(Generation).decode


class PostgresTables:
    """The tables of one database, in the schema that its user writes to."""

    blocking = True

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise MissingExtra("postgresql", "keep tables in PostgreSQL", missing="psycopg") from error
        self._url = url
        self._psycopg = psycopg
        self._connection: Any = None
        self._turn = threading.RLock()

    def names(self) -> list[str]:
        return [name for (name,) in self._ask("SELECT name FROM servable_tables WHERE live IS NOT NULL ORDER BY name")]

    def generations(self, table: str) -> list[Generation]:
        rows = self._ask("SELECT stated FROM servable_generations WHERE name = %s ORDER BY number", table)
        return [_decode(stated) for (stated,) in rows]

    def live(self, table: str) -> Generation:
        rows = self._ask(LIVE, table)
        if not rows:
            raise unknown(table, self.names())
        return _decode(rows[0][0])

    def read(self, table: str, keys: Sequence[bytes], number: int | None = None) -> Found:
        for _ in range(3):
            generation = self.live(table) if number is None else self._numbered(table, number)
            with contextlib.suppress(self._psycopg.errors.UndefinedTable):  # dropped since: another one is live
                query = f"SELECT key, answer FROM {rows_of(generation)} WHERE key = ANY(%s)"  # noqa: S608 - our name
                found = dict(self._ask(query, list(keys))) if keys else {}
                return Found(generation, [found.get(key) for key in keys])
        raise unknown(table, self.names())

    def scan(self, table: str, number: int) -> Iterator[list[tuple[bytes, bytes]]]:
        query = f"SELECT key, answer FROM {rows_of(self._numbered(table, number))}"  # noqa: S608 - our name
        with self.told(), self.connected() as connection, connection.cursor("scan") as cursor:
            cursor.execute(query)
            while rows := cursor.fetchmany(SCAN_ROWS):
                yield rows

    def _numbered(self, table: str, number: int) -> Generation:
        generations = self.generations(table)
        for generation in generations:
            if generation.number == number:
                return generation
        raise lacking(table, number, generations)

    def begin(self, stated: Generation) -> PostgresWriter:
        return PostgresWriter(self, stated)

    def switch(self, table: str, number: int) -> Generation:
        chosen = self._numbered(table, number)
        self._ask("UPDATE servable_tables SET live = %s WHERE name = %s RETURNING live", number, table)
        return chosen

    def remember(self, generation: Generation, keys: Sequence[bytes], answers: Sequence[bytes]) -> None:
        query = f"INSERT INTO {rows_of(generation)} VALUES (%s, %s) ON CONFLICT DO NOTHING"  # noqa: S608 - our name
        with self._turn, self.told(), self._reader().cursor() as cursor:
            cursor.executemany(query, list(zip(keys, answers, strict=True)))

    def drop(self, table: str, number: int | None = None) -> None:
        generations = self.generations(table)
        if not generations:
            raise unknown(table, self.names())
        gone = generations
        if number is not None:
            gone = [self._numbered(table, number)]
            if self.live(table).number == number:
                raise Conflict(f"generation {number} of table {table!r} is live: switch or roll back first")
        with self.told(), self.connected() as connection:
            if number is None:
                connection.execute("UPDATE servable_tables SET live = NULL WHERE name = %s", (table,))
            for one in gone:
                connection.execute(
                    "DELETE FROM servable_generations WHERE name = %s AND number = %s", (table, one.number)
                )
                connection.execute(f"DROP TABLE IF EXISTS {rows_of(one)}")
            connection.commit()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ---- the database

    def _ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._turn, self.told():
            return list(self._reader().execute(query, values).fetchall())

    def _reader(self) -> Any:
        """The connection that reads; a new one where the last was lost."""
        if self._connection is None or self._connection.closed:
            self._connection = self._psycopg.connect(self._url, autocommit=True, connect_timeout=5)
            with self._connection.transaction():
                self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (MADE_LOCK,))
                self._connection.execute(MADE)
        return self._connection

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """A connection of its own, in a transaction that whoever asks commits."""
        with self._turn:
            self._reader()
        connection = self._psycopg.connect(self._url, connect_timeout=5)
        try:
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """What PostgreSQL and the network say, as errors of ours."""
        errors = self._psycopg.errors
        try:
            yield
        except errors.UndefinedTable:
            raise
        except (errors.DiskFull, errors.InsufficientPrivilege) as error:
            raise EnvironmentFault(f"PostgreSQL refuses: {error}") from error
        except (self._psycopg.OperationalError, self._psycopg.InterfaceError) as error:
            raise Unavailable(f"cannot reach the tables in PostgreSQL: {error}", retry_after_s=5.0) from error
        except self._psycopg.Error as error:
            raise EnvironmentFault(f"PostgreSQL refuses: {error}") from error


class PostgresWriter:
    """A `Writer` in one transaction."""

    def __init__(self, tables: PostgresTables, stated: Generation) -> None:
        self._tables = tables
        self._held = contextlib.ExitStack()
        with tables.told():
            connection = self._connection = self._held.enter_context(tables.connected())
            (free,) = connection.execute(
                "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", (MADE_LOCK, stated.table)
            ).fetchone()
            if not free:
                self._held.close()
                raise Conflict(f"table {stated.table!r} is being written by another process: wait until it has ended")
            (number,) = connection.execute(
                "INSERT INTO servable_tables AS t (name, next) VALUES (%s, 2) "
                "ON CONFLICT (name) DO UPDATE SET next = t.next + 1 RETURNING next - 1",
                (stated.table,),
            ).fetchone()
            self.generation = msgspec.structs.replace(stated, number=number)
            self._rows = rows_of(self.generation)
            connection.execute(f"CREATE TABLE {self._rows} (key bytea PRIMARY KEY, answer bytea NOT NULL)")
            connection.execute("CREATE TEMP TABLE staged (place bigint, key bytea, answer bytea) ON COMMIT DROP")
        self._count = 0

    def write(self, keys: Sequence[bytes], answers: Sequence[bytes], keep: Keep = "last") -> int:
        act = "UPDATE SET answer = excluded.answer" if keep == "last" else "NOTHING"
        order = "DESC" if keep == "last" else "ASC"
        with self._tables.told():
            connection = self._connection
            connection.execute("TRUNCATE staged")
            with connection.cursor() as cursor, cursor.copy("COPY staged FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "bytea", "bytea"])
                for row in zip(range(len(keys)), keys, answers, strict=True):
                    copy.write_row(row)
            moved = STAGED.format(rows=self._rows, order=order, act=act)
            query = f"WITH moved AS ({moved} RETURNING xmax = 0 AS new) SELECT count(*) FROM moved WHERE new"  # noqa: S608 - ours
            (new,) = connection.execute(query).fetchone()
        self._count += new
        return int(new)

    def finish(self) -> Generation:
        self.generation = msgspec.structs.replace(self.generation, rows=self._count)
        with self._tables.told():
            self._connection.execute(
                "INSERT INTO servable_generations VALUES (%s, %s, %s)",
                (self.generation.table, self.generation.number, msgspec.json.encode(self.generation)),
            )
            self._connection.commit()
            self._connection.autocommit = True
            self._connection.execute(f"ANALYZE {self._rows}")
        self._held.close()
        return self.generation

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()


def rows_of(generation: Generation) -> str:
    """The name of a generation's rows, quoted: short enough for PostgreSQL, and different for each."""
    digest = hashlib.sha256(generation.table.encode()).hexdigest()[:24]
    return f'"servable_rows_{digest}_{generation.number}"'
