"""Results: the two files that a part's answers go to: keys and encoded answers for a table, data frames for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.offline.keying import packed
from servable.offline.piece import arrow
from servable.offline.whole import Whole, disk
from servable.stores.tables.layout import Layout

GROUP_ROWS: Final = 1 << 17
"""Rows of one group of a Parquet file."""


class Answers(Whole):
    """Keys and encoded answers, as they go into a table: an Arrow file of two columns."""

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path)
        self._layout = layout
        self._file: Any = None
        self._writer: Any = None

    def write(self, keys: Any, answer: Batch) -> None:
        """Keys as Arrow has them, and the answer to each."""
        pa = arrow()
        named = keys.cast(pa.binary()) if pa.types.is_string(keys.type) else _binary(packed(keys))
        columns = [named, _binary(self._layout.pack(answer))]
        batch = pa.RecordBatch.from_arrays(columns, ["key", "answer"])
        with disk(self.path):
            if self._writer is None:
                self._file = self.begin().open("wb")
                self._writer = pa.ipc.new_file(self._file, batch.schema)
            self._writer.write_batch(batch)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._file.close()


def read_answers(path: Path) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Blocks of keys and answers, as they were written."""
    pa = arrow()
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        for at in range(file.num_record_batches):
            batch = file.get_batch(at)
            yield _bytes(batch.column(0)), _bytes(batch.column(1))


class Frames(Whole):
    """Input columns and answers, as a Parquet file, which whoever may read its folder may read."""

    mode = 0o666

    def __init__(self, folder: Path, name: str, outputs: Sequence[Field]) -> None:
        super().__init__(folder / f"part-{name}.parquet")
        self._outputs = outputs
        self._held: list[Any] = []
        self._writer: Any = None

    def write(self, block: Any, answer: Batch) -> None:
        """Rows, and the answer to each."""
        columns, names = list(map(_readable, block.columns)), list(block.schema.names)
        for name, array in flat(answer, self._outputs):
            columns.append(arrow().array(array))
            names.append(f"{name}_answer" if name in names else name)
        self.made = True
        self._held.append(arrow().Table.from_arrays(columns, names))
        if sum(table.num_rows for table in self._held) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Write what is held as one group of rows: small ones would cost their readers."""
        from pyarrow import parquet

        if not self._held:
            return
        pa = arrow()
        table = pa.concat_tables(self._held)
        self._held = []
        # Numbers of a model seldom repeat: a dictionary or bounds of them cost more than the rest of the writing.
        texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
        bounded = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
        with disk(self.path):
            if self._writer is None:
                self._writer = parquet.ParquetWriter(
                    str(self.begin()),
                    table.schema,
                    compression="snappy",
                    use_dictionary=texts or False,
                    write_statistics=bounded or False,
                )
            self._writer.write_table(table)

    def finish(self) -> int:
        self._flush()
        return super().finish()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _readable(column: Any) -> Any:
    """Cells of a CSV file as texts; they were read as bytes."""
    pa = arrow()
    if not pa.types.is_binary(column.type):
        return column
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if one is None else one.decode(errors="replace") for one in column.to_pylist()])


def flat(answer: Batch, outputs: Sequence[Field]) -> Iterator[tuple[str, Any]]:
    """Outputs as columns: a vector is one, a matrix one for each of its numbers (`probabilities_yes`)."""
    for field in outputs:
        array = answer[field.name]
        if array.ndim == 1 or array.shape[1:] == (1,):
            yield field.name, array.reshape(len(array))
        elif array.ndim == 2:
            names = field.features or tuple(map(str, range(array.shape[1])))
            for at, name in enumerate(names):
                yield f"{field.name}_{name}", np.ascontiguousarray(array[:, at])
        else:
            yield field.name, array.tolist()


def _binary(values: Array | list[bytes]) -> Any:
    """Values of one length as one buffer, without a copy; others one by one."""
    pa = arrow()
    if isinstance(values, list):
        return pa.array(values, pa.binary())
    kind = pa.binary(values.dtype.itemsize)
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _bytes(column: Any) -> list[bytes]:
    pa = arrow()
    if not pa.types.is_fixed_size_binary(column.type):
        return list(column.to_pylist())
    width = column.type.byte_width
    if width == 0:
        return [b""] * len(column)
    values = np.frombuffer(column.buffers()[1], f"V{width}")
    return list(values[column.offset : column.offset + len(column)].tolist())
