"""Groups of rows of a Parquet file, as bytes: encoded here, or taken over from another file as they stand.

A group whose rows all have an answer needs no second encoding: the chunks of its columns are copied, those of the
answers come beside them, and the footer says where each lies. So nothing of the input is lost, not even how it was
packed. (Apache Parquet, "File Format" and parquet.thrift; the numbers of fields are theirs.)
"""

from __future__ import annotations

import mmap
import os
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from servable.errors import InvalidInput
from servable.offline import thrift
from servable.offline.piece import Group, arrow
from servable.offline.thrift import I16, I64, LIST, STRUCT, Struct

MAGIC: Final = b"PAR1"
MOST_CHUNKS: Final = 20_000
"""Of a file with more of them the footer takes longer to read than its groups to encode."""

FILE_SCHEMA, FILE_ROWS, FILE_GROUPS = 2, 3, 4
GROUP_CHUNKS, GROUP_BYTES, GROUP_ROWS, GROUP_OFFSET, GROUP_PACKED, GROUP_NUMBER = 1, 2, 3, 5, 6, 7
CHUNK_FILE, CHUNK_OFFSET, CHUNK_META, CHUNK_CRYPTO = 1, 2, 3, 8
CHUNK_INDEXES: Final = (4, 5, 6, 7)
META_BYTES, META_PACKED, META_DATA, META_INDEX, META_DICTIONARY = 6, 7, 9, 10, 11
META_BLOOM: Final = (META_INDEX, 14, 15)
PHYSICAL: Final = (1, 2, 3, 4, 5)
"""Of a column in the schema: type, length, whether it may be null or repeats, name, how many are within it."""


class Encoded(NamedTuple):
    """A whole Parquet file: its bytes, and what its footer says."""

    data: memoryview
    footer: Struct


def groups_of(footer: Struct) -> list[Struct]:
    """What a footer says of each group."""
    found: list[Struct] = footer[FILE_GROUPS][1][1]
    return found


def encode(table: Any, *, pack_floats: bool = True) -> Encoded:
    """A table, encoded as one group of rows (none, if it has no row)."""
    from pyarrow import parquet

    pa = arrow()
    # Numbers of a model seldom repeat: a dictionary or bounds of them cost more than the rest of the writing, and
    # packing them more than it saves.
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    bounded = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
    plain = [] if pack_floats else [field.name for field in table.schema if pa.types.is_floating(field.type)]
    packing = {field.name: "none" if field.name in plain else "snappy" for field in table.schema} if plain else "snappy"
    sink = pa.BufferOutputStream()
    with parquet.ParquetWriter(
        sink, table.schema, compression=packing, use_dictionary=texts or False, write_statistics=bounded or False
    ) as writer:
        if table.num_rows:
            writer.write_table(table, row_group_size=table.num_rows)
    data = memoryview(sink.getvalue())
    return Encoded(data, _footer(data))


@lru_cache(2)
def _told(path: str) -> Struct | None:
    """The footer of a local Parquet file; None where its groups cannot be taken over."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            footer = _footer(data)
        except (ValueError, KeyError):
            return None
    return footer if sum(len(group[GROUP_CHUNKS][1][1]) for group in groups_of(footer)) <= MOST_CHUNKS else None


@lru_cache(2)
def _empty(schema: bytes) -> Struct:
    """The footer of a file of this schema without rows."""
    pa = arrow()
    return encode(pa.ipc.read_schema(pa.py_buffer(schema)).empty_table()).footer


def _footer(data: Any) -> Struct:
    if bytes(data[-4:]) != MAGIC:
        raise ValueError("the footer is not plain")
    size = int.from_bytes(data[-8:-4], "little")
    return thrift.loads(bytes(data[-8 - size : -8]))


class Groups:
    """A Parquet file under construction, in the schema of the first table. Used by one writer."""

    def __init__(self, file: IO[bytes], schema: Any) -> None:
        self._file = file
        self._footer = _empty(schema.serialize().to_pybytes())
        self._groups: list[Struct] = []
        self._at = file.write(MAGIC)

    def add(self, table: Any) -> None:
        """Encode a table and add it."""
        made = encode(table)
        for group in groups_of(made.footer):
            at = self._at
            self._note(group, self._move(made.data, group[GROUP_CHUNKS][1][1]), at)

    def pass_on(self, group: Group, answers: Any) -> bool:
        """Add a group as it stands in its file, and its answers beside it; False, and nothing, where that cannot be."""
        footer = _told(group.path)
        if footer is None or not self._like(footer):
            return False
        taken = groups_of(footer)[group.number]
        chunks = taken[GROUP_CHUNKS][1][1]
        if any(CHUNK_FILE in chunk or CHUNK_CRYPTO in chunk or CHUNK_META not in chunk for chunk in chunks):
            return False
        made = encode(answers, pack_floats=False)
        at = self._at
        with Path(group.path).open("rb") as source:
            moved = self._move(source, chunks)
        moved += self._move(made.data, groups_of(made.footer)[0][GROUP_CHUNKS][1][1])
        self._note(taken, moved, at)
        return True

    def _like(self, footer: Struct) -> bool:
        """Whether the columns of a file lie as ours do."""
        theirs: list[Struct] = footer[FILE_SCHEMA][1][1][1:]
        ours: list[Struct] = self._footer[FILE_SCHEMA][1][1][1 : len(theirs) + 1]
        return [[one.get(at) for at in PHYSICAL] for one in theirs] == [
            [one.get(at) for at in PHYSICAL] for one in ours
        ]

    def _move(self, data: memoryview | IO[bytes], chunks: list[Struct]) -> list[Struct]:
        """Copy the bytes of chunks, those that lie side by side at once; what the footer says of them here."""
        spans = [_span(chunk) for chunk in chunks]
        for start, size in _joined(spans):
            if isinstance(data, memoryview):
                self._file.write(data[start : start + size])
            else:
                _send(data, start, size, self._file)
        moved = []
        for chunk, (start, size) in zip(chunks, spans, strict=True):
            moved.append(_placed(chunk, self._at - start))
            self._at += size
        return moved

    def _note(self, group: Struct, chunks: list[Struct], at: int) -> None:
        metas = [chunk[CHUNK_META][1] for chunk in chunks]
        self._groups.append(
            group
            | {
                GROUP_CHUNKS: (LIST, (STRUCT, chunks)),
                GROUP_BYTES: (I64, sum(meta[META_BYTES][1] for meta in metas)),
                GROUP_OFFSET: (I64, at),
                GROUP_PACKED: (I64, sum(meta[META_PACKED][1] for meta in metas)),
                GROUP_NUMBER: (I16, len(self._groups)),
            }
        )

    def finish(self) -> None:
        """Write the footer."""
        rows = sum(group[GROUP_ROWS][1] for group in self._groups)
        footer = thrift.dumps(self._footer | {FILE_ROWS: (I64, rows), FILE_GROUPS: (LIST, (STRUCT, self._groups))})
        self._file.write(footer + len(footer).to_bytes(4, "little") + MAGIC)


def _span(chunk: Struct) -> tuple[int, int]:
    """Where the bytes of a chunk begin, and how many they are."""
    meta: Struct = chunk[CHUNK_META][1]
    start = min(meta[at][1] for at in (META_DATA, META_DICTIONARY) if at in meta and meta[at][1] > 0)
    return start, meta[META_PACKED][1]


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in their order, those that lie side by side as one."""
    found: list[tuple[int, int]] = []
    for start, size in spans:
        if found and sum(found[-1]) == start:
            found[-1] = (found[-1][0], found[-1][1] + size)
        else:
            found.append((start, size))
    return found


def _placed(chunk: Struct, by: int) -> Struct:
    """What a footer says of a chunk that moves so far. Indexes and filters outside of it stay behind."""
    told = {at: value for at, value in chunk[CHUNK_META][1].items() if at not in META_BLOOM}
    for at in (META_DATA, META_DICTIONARY):
        if at in told:
            told[at] = (I64, told[at][1] + by)
    kept = {at: value for at, value in chunk.items() if at not in CHUNK_INDEXES}
    return kept | {CHUNK_OFFSET: (I64, 0), CHUNK_META: (STRUCT, told)}


def _send(source: IO[bytes], start: int, size: int, out: IO[bytes]) -> None:
    """Copy bytes from file to file. The kernel does it: they never count as memory of this process."""
    out.flush()
    while size:
        sent = os.sendfile(out.fileno(), source.fileno(), start, size)
        if not sent:
            raise InvalidInput(f"{source.name} has become shorter while it was read")
        start, size = start + sent, size - sent
