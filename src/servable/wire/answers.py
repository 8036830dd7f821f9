"""Answers of the Open Inference Protocol over HTTP: a Batch to JSON, or to JSON with binary tensors behind it.

What callers who shared a model call are answered is made once (`shared_answer.py`, `shared_raw.py`) and cut; what is of
another kind is encoded here, for each alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from servable.domain.batch import Batch
from servable.domain.signature import Signature
from servable.wire import rows as row_form
from servable.wire.classification import classify
from servable.wire.inquiry import Inquiry, Wanted
from servable.wire.shared_answer import SharedAnswer
from servable.wire.shared_raw import SharedRaw
from servable.wire.tensors import to_json, to_raw


class Answers:
    """Those of one version of one model, whose constant parts are made here, once."""

    def __init__(self, signature: Signature, model: str, version: str, labels: Mapping[str, tuple[str, ...]]) -> None:
        self._signature = signature
        self._labels = labels
        self._head = b'{"model_name":%b,"model_version":%b,"id":' % (orjson.dumps(model), orjson.dumps(version))
        self._heads = {
            field.name: b'{"name":%b,"datatype":"%b","shape":' % (orjson.dumps(field.name), field.datatype.encode())
            for field in signature.outputs
        }
        self._all = tuple(Wanted(field) for field in signature.outputs)
        self._shared = SharedAnswer(signature, self._head, self._heads)
        self._shared_raw = SharedRaw(self._head, self._heads) if signature.batched else None

    def encode(
        self, request_id: str, answer: Batch, inquiry: Inquiry, start: int = 0, rows: int | None = None
    ) -> tuple[bytes, int | None]:
        """The body for `rows` rows from `start` (all, if not given), and the length of its JSON part if binary tensors
        follow it. Raises ModelFailed: JSON has no NaN.
        """
        rows = answer.rows if rows is None else rows
        wanted = inquiry.wanted
        if answer.parameters is not None:
            pass  # it is for this request alone
        elif wanted is not None:
            if self._shared_raw is not None:
                cut = self._shared_raw.part(request_id, answer, wanted, start, rows)
                if cut is not None:
                    return cut
        elif not inquiry.by_rows:
            body = self._shared.part(request_id, answer, start, rows)
            if body is not None:
                return body, None
        if rows != answer.rows:
            answer = answer.slice(start, start + rows)
        head = self._head + orjson.dumps(request_id)
        if answer.parameters is not None:
            head += b',"parameters":' + orjson.dumps(answer.parameters)
        if inquiry.by_rows:
            return b'%b,"rows":%b}' % (head, row_form.rows_of(answer, self._signature)), None
        return self._alone(head, answer, wanted or self._all)

    def _alone(self, head: bytes, answer: Batch, wanted: tuple[Wanted, ...]) -> tuple[bytes, int | None]:
        """The general way."""
        parts: list[bytes] = []
        tail: list[bytes] = []
        for field, binary, classes in wanted:
            array = answer.columns[field.name]
            opening = self._heads[field.name]
            if classes:
                array = classify(array, classes, self._labels.get(field.name))
                opening = b'{"name":%b,"datatype":"BYTES","shape":' % orjson.dumps(field.name)
            shape = b"[%b]" % b",".join([b"%d" % length for length in array.shape])
            if binary:
                raw = to_raw(array)
                tail.append(raw)
                parts.append(b'%b%b,"parameters":{"binary_data_size":%d}}' % (opening, shape, len(raw)))
            else:
                data = to_json(field.name, array, missing=field.values != "finite")
                parts.append(b'%b%b,"data":%b}' % (opening, shape, data))
        body = b'%b,"outputs":[%b]}' % (head, b",".join(parts))
        if not tail:
            return body, None
        return b"".join((body, *tail)), len(body)
