"""Batch: named numpy arrays that share the first axis (rows). Knows no model and no protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Batch:
    """Named arrays of equal length along axis 0.

    The arrays are shared, never copied and never written to: whoever wants to change a value makes a new Batch.
    `parameters` are the caller's words to the model (empty for nearly all); only batches with equal ones are joined.
    A model whose arrays have no row axis takes a Batch with `rows=1`, which is never joined nor sliced.

    >>> batch = Batch({"x": np.array([[1.0], [2.0], [3.0]])})
    >>> batch.rows
    3
    >>> [part["x"].ravel().tolist() for part in batch.split([1, 2])]
    [[1.0], [2.0, 3.0]]
    """

    __slots__ = ("columns", "parameters", "rows")

    def __init__(
        self,
        columns: Mapping[str, Array],
        rows: int | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.columns = columns
        self.parameters = parameters
        if rows is None:
            lengths = {name: len(array) for name, array in columns.items()}
            rows = next(iter(lengths.values()), 0)
            if any(length != rows for length in lengths.values()):
                raise ValueError(f"columns differ in their number of rows: {lengths}")
        self.rows = rows

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return self.rows

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in self.columns.items())
        return f"Batch({self.rows} rows; {arrays})"

    def slice(self, start: int, stop: int) -> Batch:
        """Rows `start` to `stop` (exclusive), as views."""
        return Batch({name: array[start:stop] for name, array in self.columns.items()}, stop - start, self.parameters)

    def split(self, counts: Sequence[int]) -> list[Batch]:
        """One Batch for each count, in order. The counts must add up to the rows there are."""
        if sum(counts) != self.rows:
            raise ValueError(
                f"cannot split {self.rows} rows into parts of {list(counts)}: they add up to {sum(counts)}"
            )
        parts = []
        start = 0
        for count in counts:
            parts.append(self.slice(start, start + count))
            start += count
        return parts

    @staticmethod
    def join(batches: Sequence[Batch]) -> Batch:
        """All rows of all batches, in order. Names, dtypes and trailing shapes must be equal: see `key`."""
        first = batches[0]
        if len(batches) == 1:
            return first
        columns = {name: np.concatenate([batch.columns[name] for batch in batches]) for name in first.columns}
        return Batch(columns, sum(batch.rows for batch in batches), first.parameters)

    def key(self) -> tuple[Any, ...]:
        """What two batches must share to be joined: names, dtypes, shapes past the row axis, parameters."""
        shape = tuple((name, array.dtype.num, array.shape[1:]) for name, array in sorted(self.columns.items()))
        return (shape, tuple(sorted(self.parameters.items()))) if self.parameters else (shape,)
