"""Piece: a part of the input that a worker can read by itself, in bounded memory, always with the same rows.

Parquet and Arrow files are cut between their own groups of rows, lines of CSV and JSON between lines. What is read is
Arrow: columns stay columns from here to the model.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
import orjson

from servable.errors import InvalidInput, MissingExtra, unreadable

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["parquet", "arrow", "csv", "jsonl"]

BLOCK_ROWS: Final = 16_384
"""Rows that go through the model together: few enough for a core's cache, many enough to forget the cost of a call."""
READ_BYTES: Final = 8 << 20
"""Of a Parquet file, what is decoded together: fewer, longer reads are faster, and memory stays bounded."""
LEAST_ROWS: Final = 16_384
MOST_BYTES: Final = 64 << 20
"""Groups of fewer rows are put together with others, longer ones would be held too long: they are encoded anew."""
TEXT_BLOCK_BYTES: Final = 4 << 20

MISSING: Final = ("", "NA", "NaN", "nan", "null", "None", "NULL")
"""Cells of a CSV file that stand for a missing value."""


class Piece(msgspec.Struct, frozen=True):
    """`start` and `stop` count row groups, record batches or bytes, by the form; `first_row` is the number of its first
    row where the file says so. `header` are a CSV file's columns.
    """

    path: str
    form: Form
    start: int
    stop: int | None
    first_row: int | None = None
    header: tuple[str, ...] = ()


class Unreadable(msgspec.Struct, frozen=True):
    """A row that is no row: where it stands, what is wrong, what stood there."""

    row: int
    reason: str
    text: str


class Group(NamedTuple):
    """A group of rows of a Parquet file on this machine, of a size that another file may take over as it stands."""

    path: str
    number: int
    rows: int


class Block(NamedTuple):
    """Rows, what could not be read as a row, and the group that they are of."""

    rows: pa.RecordBatch
    broken: list[Unreadable]
    group: Group | None = None


def read(piece: Piece, columns: Sequence[str] | None, numbers: Collection[str] = ()) -> Iterator[Block]:
    """Blocks of rows, and what could not be read as a row. `columns`: those that are needed; None: all.

    `numbers`: those that should be some: where every cell is, those of a CSV file come as float64, else all as bytes.

    Raises InvalidInput for a file that is broken, EnvironmentFault for one that cannot be read.
    """
    try:
        yield from _csv(piece, columns, numbers) if piece.form == "csv" else _READERS[piece.form](piece, columns)
    except OSError as error:
        raise unreadable(piece.path, error) from error
    except arrow().ArrowException as error:
        raise InvalidInput(f"{piece.path} is broken or cut off: {error}") from error


def arrow() -> Any:
    """The pyarrow module. Raises MissingExtra."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra("offline", "read data in bulk", missing=error.name) from error
    return pa


def opened(path: str) -> Any:
    """A file by its path or URL (`s3://…`), as Arrow reads it."""
    from pyarrow import fs

    if "://" in path:
        system, inside = fs.FileSystem.from_uri(path)
        return system.open_input_file(inside)
    return fs.LocalFileSystem().open_input_file(path)


@lru_cache(2)
def parquet_file(path: str) -> Any:
    """A Parquet file with its footer read; kept, as the next piece is often of the same file."""
    from pyarrow import parquet

    return parquet.ParquetFile(opened(path), pre_buffer="://" in path)  # of one on this machine, a column at a time


def _parquet(piece: Piece, columns: Sequence[str] | None) -> Iterator[Block]:
    file = parquet_file(piece.path)
    for number in range(piece.start, piece.stop or 0):
        size = file.metadata.row_group(number)
        rows_at_once = max(READ_BYTES * size.num_rows // max(size.total_byte_size, 1), 1)
        if rows_at_once > BLOCK_ROWS:
            rows_at_once -= rows_at_once % BLOCK_ROWS
        whole = "://" not in piece.path and size.num_rows >= LEAST_ROWS and size.total_byte_size <= MOST_BYTES
        group = Group(piece.path, number, size.num_rows) if whole else None
        for batch in file.iter_batches(rows_at_once, [number], columns, use_threads=False):
            for start in range(0, batch.num_rows, BLOCK_ROWS):
                yield Block(batch.slice(start, BLOCK_ROWS), [], group)


def _arrow(piece: Piece, columns: Sequence[str] | None) -> Iterator[Block]:
    file = arrow().ipc.open_file(opened(piece.path))
    for at in range(piece.start, piece.stop or 0):
        batch = file.get_batch(at)
        batch = batch if columns is None else batch.select(list(columns))
        for start in range(0, batch.num_rows, BLOCK_ROWS):
            yield Block(batch.slice(start, BLOCK_ROWS), [])


def _csv(piece: Piece, columns: Sequence[str] | None, numbers: Collection[str]) -> Iterator[Block]:
    data = _span(piece)
    known = [name for name in piece.header if name in numbers and (columns is None or name in columns)]
    done = 0
    if known:
        with contextlib.suppress(arrow().ArrowInvalid):
            for block in _csv_blocks(piece, data, columns, known):
                if not all(map(_finite, (block.rows.column(name) for name in known))):
                    break
                yield block
                done += 1
            else:
                return
    yield from islice(_csv_blocks(piece, data, columns, ()), done, None)


def _csv_blocks(
    piece: Piece, data: pa.Buffer, columns: Sequence[str] | None, numbers: Collection[str]
) -> Iterator[Block]:
    """The same blocks whatever is read as a number. Raises ArrowInvalid for a number that is none."""
    from pyarrow import csv

    broken: list[Unreadable] = []

    def told(row: Any) -> str:
        reason = f"expected {row.expected_columns} values, got {row.actual_columns}"
        broken.append(Unreadable((row.number or 1) - 1, reason, row.text))
        return "skip"

    # Else bytes: what is no UTF-8, or no number, is a fault of its row and not of the file.
    pa = arrow()
    convert = csv.ConvertOptions(
        column_types={name: pa.float64() if name in numbers else pa.binary() for name in piece.header},
        null_values=list(MISSING),
        strings_can_be_null=True,
        include_columns=None if columns is None else list(columns),
    )
    reader = csv.open_csv(
        pa.BufferReader(data),
        csv.ReadOptions(use_threads=False, block_size=TEXT_BLOCK_BYTES, column_names=list(piece.header)),
        csv.ParseOptions(invalid_row_handler=told, newlines_in_values=True),
        convert,
    )
    for batch in reader:
        for start in range(0, batch.num_rows, BLOCK_ROWS):
            yield Block(batch.slice(start, BLOCK_ROWS), broken[:])
            broken.clear()
    if broken:
        yield Block(_empty(reader.schema), broken)


def _finite(column: Any) -> bool:
    """Whether all that is there is a plain number. Others are spelled in more ways here than elsewhere."""
    import pyarrow.compute as pc

    return math.isfinite(pc.sum(column).as_py() or 0.0)


def _empty(schema: Any) -> Any:
    return arrow().RecordBatch.from_arrays([arrow().array([], field.type) for field in schema], schema=schema)


def _jsonl(piece: Piece, columns: Sequence[str] | None) -> Iterator[Block]:
    rows: list[dict[str, Any]] = []
    broken: list[Unreadable] = []
    for number, line in enumerate(_lines(piece)):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            if not isinstance(row, dict):
                raise orjson.JSONDecodeError("expected an object", "", 0)
        except orjson.JSONDecodeError as error:
            text = bytes(line[:1000]).decode(errors="replace").rstrip("\n")
            broken.append(Unreadable(number, f"not a JSON object: {error.msg}", text))
            continue
        rows.append(row)
        if len(rows) == BLOCK_ROWS:
            yield Block(of_rows(rows, columns), broken)
            rows, broken = [], []
    if rows or broken:
        yield Block(of_rows(rows, columns), broken)


def of_rows(rows: list[dict[str, Any]], columns: Sequence[str] | None) -> pa.RecordBatch:
    """Rows as columns. A column of mixed kinds becomes texts, each of which is judged by itself later."""
    names = list(dict.fromkeys(name for row in rows for name in row)) if columns is None else columns
    return arrow().RecordBatch.from_arrays([_column([row.get(name) for row in rows]) for name in names], list(names))


def _column(values: list[Any]) -> Any:
    pa = arrow()
    with contextlib.suppress(pa.ArrowException, OverflowError):
        return pa.array(values)
    if any(isinstance(value, list) for value in values):
        return pa.array([value if _numeric(value) else None for value in values])
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    """As JSON has it, or, of what only a database knows, as it is printed."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, (bool, float, dict, list)) else str(value)


def _numeric(value: Any) -> bool:
    """Whether it is lists of numbers within each other."""
    return isinstance(value, list) and all(
        one is None or isinstance(one, (int, float)) or _numeric(one) for one in value
    )


def _lines(piece: Piece) -> Any:
    """The lines of the piece; of a compressed file, all."""
    if piece.stop is None:
        return arrow().input_stream(opened(piece.path), compression="gzip" if piece.path.endswith(".gz") else "detect")
    return io.BytesIO(_span(piece))


def _span(piece: Piece) -> pa.Buffer:
    """The bytes of the piece, which begin and end with lines."""
    start, stop = piece.start, piece.stop or 0
    with opened(piece.path) as file:
        file.seek(start)
        data = file.read_buffer(stop - start)
    if len(data) != stop - start:
        raise InvalidInput(f"{piece.path} has become shorter while it was read")
    return data


_READERS: Final[dict[str, Any]] = {"parquet": _parquet, "arrow": _arrow, "jsonl": _jsonl}
