"""A body whose text has come before is read by its numbers alone: as the general way reads it, or not at all."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import InvalidInput
from servable.wire.open_inference import Codec

OUTPUT = (Field("y", "FP32"),)


def codec(datatype: str = "FP32", width: int = 3) -> Codec:
    return Codec(Signature((Field("x", datatype, (-1, width)),), OUTPUT), "m", "1")


def body(data: Any, rows: int = 1, datatype: str = "FP32", width: int = 3) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "shape": [rows, width], "datatype": datatype, "data": data}]}).encode()


def outcome(one: Codec, data: bytes) -> object:
    try:
        return one.decode(data).batch["x"].tolist()
    except InvalidInput as error:
        return error.detail["faults"]


@pytest.mark.parametrize(
    "data",
    [
        [4, 5, 6],
        [4.5, -5e-3, 6e9],
        [[4, 5, 6]],
        [4, 5],
        [4, 5, 6, 7],
        [4, 5, True],
        [4, False, 6],
        [4, 5, None],
        [4, 5, "6"],
        [4, 5, 1e39],
        [],
        [4, 5, {"a": 6}],
        "text",
    ],
)
@pytest.mark.parametrize("repeat", [1, 100])
@pytest.mark.parametrize("datatype", ["FP32", "INT8"])
def test_what_follows_is_read_or_refused_as_it_would_be_alone(data: Any, repeat: int, datatype: str) -> None:
    width = 3 * repeat
    good = body([1, 2, 3] * repeat, datatype=datatype, width=width)
    if isinstance(data, list):
        data = data[:-1] + data[-1:] * (1 + 3 * (repeat - 1))
    second = body(data, datatype=datatype, width=width)
    both = codec(datatype, width)
    both.decode(good)
    assert outcome(both, second) == outcome(codec(datatype, width), second)
    assert outcome(both, good) == [[1.0, 2.0, 3.0] * repeat]


def test_text_around_the_numbers_that_differs_is_read_anew() -> None:
    both = codec()
    assert both.decode(body([1, 2, 3])).batch.rows == 1
    named = body([4, 5, 6])[:-1] + b', "id": "later"}'
    inquiry = both.decode(named)
    assert (inquiry.options.id, inquiry.batch["x"].tolist()) == ("later", [[4, 5, 6]])
    other = both.decode(body([4, 5, 6]).replace(b"}]}", b'}], "outputs": [{"name": "y"}]}'))
    assert other.wanted is not None
    with pytest.raises(InvalidInput):
        both.decode(body([4, 5, 6]) + b"]")
    assert both.decode(body([1, 2, 3, 4, 5, 6], 2)).batch.rows == 2


def test_a_shape_behind_the_numbers_is_no_data() -> None:
    """Where the last list of a body is its shape, the shape is never taken for the numbers of the next one."""
    one = b'{"inputs":[{"name":"x","datatype":"FP32","data":[1,3,3],"shape":[1,3]}]}'
    two = b'{"inputs":[{"name":"x","datatype":"FP32","data":[1,3,3],"shape":[3,1]}]}'
    both = codec()
    for _ in range(2):
        assert both.decode(one).batch["x"].tolist() == [[1, 3, 3]]
        with pytest.raises(InvalidInput):
            both.decode(two)


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3)))
@settings(deadline=None)
def test_any_numbers_after_any_others(rows: list[list[float]]) -> None:
    both = codec()
    for row in rows:
        np.testing.assert_array_equal(both.decode(body(row)).batch["x"], np.array([row], np.float32))


def test_no_more_is_remembered_than_may_be() -> None:
    both = codec()
    for length in range(600):
        padded = b" " * length + body([1, 2, 3])
        assert both.decode(padded).batch.rows == 1
        assert both.decode(padded).batch.rows == 1
