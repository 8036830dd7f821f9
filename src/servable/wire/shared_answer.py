"""SharedAnswer: the answer of one model call as JSON, made once, and cut into the parts of the callers who shared it.

A number is turned into text only once a call, by orjson, in one go; a caller's part is found by counting rows. For
outputs of numbers with at most two axes, which nearly all are; for the others `part` gives None, and the codec encodes
each alone.
"""

from __future__ import annotations

import orjson

from servable.domain.batch import Batch
from servable.domain.signature import Signature
from servable.wire.row_texts import MATRIX, row_texts


class SharedAnswer:
    """Remembers the last answer only: the parts of a call are asked for one after the other."""

    def __init__(self, signature: Signature, head: bytes, heads: dict[str, bytes]) -> None:
        """`head` is how an answer begins, up to its id; `heads[output]` how that output does, up to its shape."""
        self._names = [field.name for field in signature.outputs] if signature.batched else []
        self._head = head.replace(b"%", b"%%")
        self._heads = {name: start.replace(b"%", b"%%") for name, start in heads.items()}
        self._templates: dict[tuple[int, ...], bytes] = {}
        self._answer: Batch | None = None
        self._rows: list[list[bytes]] = []
        self._template = b""

    def part(self, request_id: str, answer: Batch, start: int, rows: int) -> bytes | None:
        """The body for `rows` rows from `start` of this answer, if it is of the kind that can be cut."""
        if answer is not self._answer:
            self._take(answer)
        if not self._rows:
            return None
        values: list[bytes | int] = [orjson.dumps(request_id)]
        for texts in self._rows:
            values.append(rows)
            values.append(texts[start] if rows == 1 else b",".join(texts[start : start + rows]))
        return self._template % tuple(values)

    def _take(self, answer: Batch) -> None:
        self._answer = answer
        self._rows = []
        widths = []
        texts = []
        for name in self._names:
            array = answer.columns[name]
            own = row_texts(array)
            if own is None:
                return
            texts.append(own)
            widths.append(array.shape[1] if array.ndim == MATRIX else -1)
        self._rows = texts
        key = tuple(widths)
        template = self._templates.get(key)
        if template is None:
            template = self._templates[key] = self._made(key)
        self._template = template

    def _made(self, widths: tuple[int, ...]) -> bytes:
        """The body with places for the id, and for each output its number of rows and its values."""
        outputs = [
            b'%b[%%d%b],"data":[%%b]}' % (self._heads[name], b"" if width < 0 else b",%d" % width)
            for name, width in zip(self._names, widths, strict=True)
        ]
        return b'%b%%b,"outputs":[%b]}' % (self._head, b",".join(outputs))
