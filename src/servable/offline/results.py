"""Results: the two files that a part's answers go to: keys and encoded answers for a table, data frames for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.errors import InvalidInput
from servable.offline.groups import Groups
from servable.offline.keying import packed
from servable.offline.piece import Group, arrow
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
        self._held: list[tuple[Any, Any]] = []
        self._group: Group | None = None
        self._schema: Any = None
        self._file: Any = None
        self._groups: Groups | None = None

    def write(self, rows: Any, answer: Batch, group: Group | None = None) -> None:
        """Rows, the answer to each, and the group that they are of."""
        if group != self._group:
            self._flush()
            self._group = group
        self.made = True
        self._held.append((rows, _answers(answer, self._outputs, rows.schema.names)))
        if sum(answers.num_rows for _, answers in self._held) >= (GROUP_ROWS if group is None else group.rows):
            self._flush()

    def _flush(self) -> None:
        """Write what is held as one group of rows: small ones would cost their readers."""
        if not self._held:
            return
        pa = arrow()
        held, self._held = self._held, []
        answers = pa.Table.from_batches([one for _, one in held])
        with disk(self.path):
            if self._groups is None:
                self._schema = pa.schema([*map(_plain, held[0][0].schema), *answers.schema])
                self._file = self.begin().open("wb")
                self._groups = Groups(self._file, self._schema)
            if (
                self._group is None
                or answers.num_rows < self._group.rows
                or not self._groups.pass_on(self._group, answers)
            ):
                self._groups.add(pa.concat_tables([self._table(rows, answers) for rows, answers in held]))

    def _table(self, rows: Any, answers: Any) -> Any:
        """Rows and answers side by side, in the types of those that came first."""
        pa = arrow()
        columns = [*map(_readable, rows.columns), *answers.columns]
        table = pa.Table.from_arrays(columns, [*rows.schema.names, *answers.schema.names])
        try:
            return table.cast(self._schema)
        except (ValueError, pa.ArrowException) as error:
            raise InvalidInput(
                f"columns have other types than in the rows before, of the same part: {error}"
            ) from error

    def finish(self) -> int:
        self._flush()
        if self._groups is not None:
            with disk(self.path):
                self._groups.finish()
        return super().finish()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _answers(answer: Batch, outputs: Sequence[Field], taken: Sequence[str]) -> Any:
    """Answers as columns, under names that are not taken."""
    pa = arrow()
    found = {f"{name}_answer" if name in taken else name: pa.array(array) for name, array in flat(answer, outputs)}
    return pa.RecordBatch.from_pydict(found)


def _plain(field: Any) -> Any:
    """A field without what others noted beside it; a text is one, however it was read."""
    pa = arrow()
    return pa.field(field.name, pa.string() if pa.types.is_binary(field.type) else field.type, field.nullable)


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
