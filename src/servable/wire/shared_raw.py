"""SharedRaw: the answer of one model call as binary tensors, made once, and cut into the parts of the callers who
shared it. The counterpart of `shared_answer.py`, which does so in JSON.

For outputs of plain numbers; for the others `part` gives None, and each is encoded alone.
"""

from __future__ import annotations

import orjson

from servable.domain.batch import Batch
from servable.wire.inquiry import Wanted
from servable.wire.tensors import to_raw


class SharedRaw:
    """Remembers the last answer only: the parts of a call are asked for one after the other."""

    def __init__(self, head: bytes, heads: dict[str, bytes]) -> None:
        """`head` is how an answer begins, up to its id; `heads[output]` how that output does, up to its shape."""
        self._head = head
        self._heads = heads
        self._answer: Batch | None = None
        self._wanted: tuple[Wanted, ...] | None = None
        self._raw: list[tuple[bytes, int]] = []
        """The bytes of each output, and of one row of it."""
        self._layout: tuple[tuple[str, tuple[int, ...], int], ...] = ()
        """Name, shape past the rows, and bytes of a row: what decides how outputs are announced."""
        self._outputs: dict[int, bytes] = {}
        """What announces the outputs in this layout, by number of rows."""

    def part(
        self, request_id: str, answer: Batch, wanted: tuple[Wanted, ...], start: int, rows: int
    ) -> tuple[bytes, int] | None:
        """The body for `rows` rows from `start`, and the length of its JSON part; if it is of the kind that can be
        cut.
        """
        if answer is not self._answer or wanted is not self._wanted:
            self._take(answer, wanted)
        if not self._raw:
            return None
        outputs = self._outputs.get(rows) or self._announce(rows)
        json = b"%b%b%b" % (self._head, orjson.dumps(request_id), outputs)
        return b"".join([json, *[raw[start * size : (start + rows) * size] for raw, size in self._raw]]), len(json)

    def _take(self, answer: Batch, wanted: tuple[Wanted, ...]) -> None:
        self._answer, self._wanted, self._raw = answer, wanted, []
        arrays = [answer.columns[one.field.name] for one in wanted]
        if any(one.classes or not one.binary for one in wanted) or any(
            array.dtype == object or not array.ndim or not array.size for array in arrays
        ):
            return
        self._raw = [(to_raw(array), array.nbytes // len(array)) for array in arrays]
        layout = tuple(
            (one.field.name, array.shape[1:], size)
            for one, array, (_, size) in zip(wanted, arrays, self._raw, strict=True)
        )
        if layout != self._layout:
            self._layout = layout
            self._outputs = {}

    def _announce(self, rows: int) -> bytes:
        outputs = []
        for name, trailing, size in self._layout:
            shape = b",".join([b"%d" % length for length in (rows, *trailing)])
            outputs.append(b'%b[%b],"parameters":{"binary_data_size":%d}}' % (self._heads[name], shape, rows * size))
        announced = self._outputs[rows] = b',"outputs":[%b]}' % b",".join(outputs)
        return announced
