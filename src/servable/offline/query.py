"""The result of a query as files in the job's folder: a query asked twice may answer differently, files do not.

With a database's URL the query goes there, through SQLAlchemy; without one it is DuckDB's, which reads files by itself.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from typing import Any, Final

from servable.errors import EnvironmentFault, MissingExtra, UsageError
from servable.offline.folder import INPUT, Folder
from servable.offline.piece import arrow, of_rows
from servable.offline.source import Source, find
from servable.offline.whole import Whole, disk, write_whole

ROWS: Final = 1 << 17
"""Rows of one file."""
DONE: Final = "complete"


def snapshot(url: str, query: str, folder: Folder, *, resume: bool) -> Source:
    """All rows of the query, in files; those of a job that goes on are there already."""
    place = folder.path / INPUT
    asked = hashlib.sha256(f"{url}\n{query}".encode()).hexdigest()
    done = place / DONE
    if not (resume and done.exists() and done.read_text(encoding="ascii") == asked):
        shutil.rmtree(place, ignore_errors=True)
        with disk(place):
            place.mkdir(mode=0o700, parents=True)
        blocks = _from_database(url, query) if url else _from_duckdb(query)
        count = 0
        for count, block in enumerate(blocks, 1):
            with _File(place / f"{count:06d}.arrow") as file:
                file.put(block)
        if not count:
            return Source({}, (), 0, asked)
        write_whole(done, asked.encode())
    found = find(str(place))
    return found._replace(fingerprint=asked)


class _File(Whole):
    """One block, as an Arrow file."""

    def put(self, block: Any) -> None:
        with disk(self.path):
            with self.begin().open("wb") as file, arrow().ipc.new_file(file, block.schema) as writer:
                writer.write(block)
            self.finish()


def _from_database(url: str, query: str) -> Iterator[Any]:
    import sqlalchemy as sa

    try:
        place = sa.make_url(url)
        if place.drivername in {"postgresql", "postgres"}:  # the driver that we have an extra for
            place = place.set(drivername="postgresql+psycopg")
        engine = sa.create_engine(place)
    except ImportError as error:
        if error.name == "psycopg":
            raise MissingExtra("postgresql", "ask PostgreSQL", missing=error.name) from error
        raise EnvironmentFault(
            f"{url.partition('://')[0]}:// needs {error.name}, which is not installed: run  pip install {error.name}"
        ) from error
    except sa.exc.ArgumentError as error:
        raise UsageError(f"--input: expected a database's URL, such as postgresql://HOST/NAME: {error}") from error
    try:
        with engine.connect().execution_options(stream_results=True, max_row_buffer=ROWS) as connection:
            result = connection.execute(sa.text(query))
            names = list(result.keys())
            for rows in result.partitions(ROWS):
                yield of_rows([dict(zip(names, row, strict=True)) for row in rows], names)
    except sa.exc.DBAPIError as error:
        raise UsageError(f"the database refuses the query: {error.orig}") from error
    except sa.exc.SQLAlchemyError as error:
        raise EnvironmentFault(f"cannot ask the database: {error}") from error
    finally:
        engine.dispose()


def _from_duckdb(query: str) -> Iterator[Any]:
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("offline", "ask DuckDB", missing=error.name) from error
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET memory_limit = '256MB'; SET threads = 2")
            result = connection.sql(query)
            if result is None:
                raise UsageError("the query gives no rows: expected a SELECT")
            yield from (block for block in result.to_arrow_reader(ROWS) if block.num_rows)
    except duckdb.Error as error:
        raise UsageError(f"DuckDB refuses the query: {error}") from error
