"""Event: what a journal holds. Facts as they were accepted; what becomes of them is the fold's affair.

Arrays are written as the bytes they are in, texts as lists: an event reads back as the very batch that came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np

from servable.domain.batch import Array, Batch


class Column(msgspec.Struct, frozen=True, array_like=True):
    """One array of a batch; its elements are in `data`, or, of texts, in `texts`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes = b""
    texts: tuple[str | None, ...] = ()


LABEL: Final = "label"
"""The name of answers that are classes; others are numbers."""


class Given(msgspec.Struct, frozen=True, array_like=True):
    """What callers were answered to rows: when they asked (seconds since the epoch), the answers under the name of
    their output, and the last outcome that was known then, None where there was none.
    """

    times: tuple[float, ...]
    answers: Column
    before: tuple[Any, ...]

    def picked(self, places: Sequence[int]) -> Given:
        """Of some of the rows."""
        answers = column(self.answers.name, array(self.answers)[list(places)])
        return Given(
            tuple(self.times[place] for place in places), answers, tuple(self.before[place] for place in places)
        )


class Examples(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """Rows with their outcomes, one after another. `ids` are those of the predictions, or of the examples themselves;
    `versions` count corrections of an outcome, from 0. `source` is who sent them: the name of their key.
    """

    time: float
    source: str
    ids: tuple[str, ...]
    versions: tuple[int, ...]
    columns: tuple[Column, ...]
    outcomes: Column
    given: Given | None = None
    """Of rows that were predicted before."""

    @property
    def rows(self) -> int:
        return len(self.ids)


class Asked(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """Rows that were predicted, kept until their outcomes come; `before` is the last outcome that was known then."""

    time: float
    ids: tuple[str, ...]
    columns: tuple[Column, ...]
    answers: Column | None = None
    before: Any = None

    @property
    def rows(self) -> int:
        """It teaches nothing by itself."""
        return 0


Event: TypeAlias = Examples | Asked

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Event).decode


def decode(data: bytes | memoryview) -> Event:
    """An event from the bytes that `encode` gave. Raises msgspec.DecodeError for others."""
    event: Event = _decode(data)
    return event


def column(name: str, array: Array) -> Column:
    """An array, written down."""
    if array.dtype == object:
        texts = tuple(one.decode() if isinstance(one, bytes) else one for one in array.ravel().tolist())
        return Column(name, "O", array.shape, texts=texts)
    return Column(name, array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())


def array(written: Column) -> Array:
    """The array that was written down. It may not be written to."""
    found: np.ndarray[Any, Any]
    if written.dtype == "O":
        found = np.empty(len(written.texts), object)
        found[:] = written.texts
    else:
        found = np.frombuffer(written.data, np.dtype(written.dtype))
    return found.reshape(written.shape)


def columns(batch: Batch) -> tuple[Column, ...]:
    """A batch, written down.

    >>> batch = Batch({"x": np.array([[1.5]]), "city": np.array(["Oslo"], object)})
    >>> batch_of(columns(batch))["city"].tolist()
    ['Oslo']
    """
    return tuple(column(name, values) for name, values in batch.columns.items())


def batch_of(written: tuple[Column, ...]) -> Batch:
    """The batch that was written down."""
    return Batch({one.name: array(one) for one in written})
