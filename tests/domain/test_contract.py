from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.domain.contract import breaks, handed, stands_in
from servable.domain.field import Field
from servable.domain.signature import Signature

OLD = Signature(
    (
        Field("x", "FP32", (-1, 2), features=("a", "b"), values="missing", low=0, high=9),
        Field("job", "BYTES", categories=("chef", "poet")),
    ),
    (Field("y", "FP32"), Field("label", "INT64")),
)


def changed(name: str, **changes: Any) -> Signature:
    fields = [msgspec.structs.replace(field, **changes) if field.name == name else field for field in OLD.inputs]
    return msgspec.structs.replace(OLD, inputs=tuple(fields))


@pytest.mark.parametrize(
    "wider",
    [
        OLD,
        changed("x", low=-1, high=None),
        changed("x", values="any"),
        changed("job", categories=("poet", "chef", "king")),
        changed("job", categories=()),
        msgspec.structs.replace(OLD, inputs=(*OLD.inputs, Field("new", "FP32", values="missing"))),
        msgspec.structs.replace(OLD, outputs=(*OLD.outputs, Field("more", "FP32"))),
    ],
)
def test_what_takes_as_much_and_answers_as_much_breaks_nothing(wider):
    assert breaks(OLD, wider) == []


@pytest.mark.parametrize(
    ("narrower", "said"),
    [
        (changed("x", datatype="FP64"), "'x' is FP64 [-1, 2], and was FP32 [-1, 2]"),
        (changed("x", shape=(-1, 3), features=()), "is FP32 [-1, 3]"),
        (changed("x", features=()), "has no columns of these names"),
        (changed("x", features=("b", "a")), "has columns of other names"),
        (changed("x", values="finite"), "takes no missing values"),
        (changed("x", low=1), "has a lower bound of 1"),
        (changed("x", high=8), "has an upper bound of 8"),
        (changed("job", categories=("chef",)), "has fewer categories"),
        (changed("job", categories=(), content="date"), "must hold a date"),
        (msgspec.structs.replace(OLD, inputs=OLD.inputs[:1]), "'job' is gone"),
        (msgspec.structs.replace(OLD, inputs=(*OLD.inputs, Field("new", "FP32"))), "'new' is new"),
        (msgspec.structs.replace(OLD, outputs=OLD.outputs[:1]), "output 'label' is gone"),
        (msgspec.structs.replace(OLD, outputs=(Field("y", "FP64"), OLD.outputs[1])), "output 'y' is FP64"),
    ],
)
def test_what_callers_would_be_refused_or_miss(narrower, said):
    assert said in breaks(OLD, narrower)[0]


def test_who_stands_in_needs_no_more_and_answers_no_less():
    fewer = msgspec.structs.replace(OLD, inputs=OLD.inputs[:1])
    assert stands_in(fewer, OLD)
    assert not stands_in(OLD, fewer)
    assert not stands_in(msgspec.structs.replace(OLD, outputs=OLD.outputs[:1]), OLD)


def test_a_batch_is_handed_without_what_the_other_does_not_know():
    batch = Batch({"x": np.ones((3, 2), np.float32), "job": np.array(["chef"] * 3, object)})
    fewer = msgspec.structs.replace(OLD, inputs=OLD.inputs[:1])
    given = handed(batch, fewer)
    assert given is not None
    assert list(given) == ["x"]
    assert handed(batch, OLD) is batch
    assert handed(batch, changed("x", high=0.5)) is None
