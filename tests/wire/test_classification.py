"""Classification: order, ties, NaN, labels, shapes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from servable.errors import InvalidInput
from servable.wire.classification import classify


@pytest.mark.parametrize(
    ("array", "classes", "labels", "told"),
    [
        (np.array([[0.1, 0.7, 0.2]], np.float32), 1, None, [["0.700000:1"]]),
        (np.array([[0.1, 0.7, 0.2]]), 2, ["a", "b", "c"], [["0.700000:1:b", "0.200000:2:c"]]),
        (np.array([[0.1, 0.7, 0.2]]), 9, ["a", "b"], [["0.700000:1:b", "0.200000:2", "0.100000:0:a"]]),
        (np.array([[1, 3], [3, 3]], np.int64), 2, None, [["3:1", "1:0"], ["3:0", "3:1"]]),
        (np.array([[1, 255, 254]], np.uint8), 2, None, [["255:1", "254:2"]]),
        (np.array([[False, True]]), 1, None, [["1:1"]]),
        (np.array([7, 8], np.int32), 3, None, [["7:0"], ["8:0"]]),
        (np.array([[np.nan, 0.5, -np.inf, np.inf]]), 4, None, [["inf:3", "0.500000:1", "nan:0", "-inf:2"]]),
        (np.arange(4.0).reshape(1, 2, 2), 1, None, [["3.000000:3"]]),
    ],
)
def test_the_highest_classes_are_told(array, classes, labels, told):
    answer = classify(array, classes, labels)
    assert answer.dtype == object
    assert answer.tolist() == told


def test_no_rows_give_no_rows():
    assert classify(np.empty((0, 3), np.float32), 2).shape == (0, 0)


def test_an_output_without_rows_is_one_list():
    assert classify(np.array([0.25, 0.75]), 1, ["no", "yes"], batched=False).tolist() == ["0.750000:1:yes"]


def test_text_has_no_order():
    with pytest.raises(InvalidInput, match="BYTES"):
        classify(np.array([["a"]], object), 1)


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint64, np.int8]),
        hnp.array_shapes(min_dims=2, max_dims=3),
    ),
    st.integers(1, 5),
)
def test_values_are_those_at_the_index_and_never_rise(array, classes):
    answer = classify(array, classes)
    flat = array.reshape(len(array), -1)
    assert answer.shape == (len(array), min(classes, flat.shape[1]))
    for row, told in zip(flat, answer, strict=True):
        indices = [int(text.split(":")[1]) for text in told]
        assert len(set(indices)) == len(indices)
        values = row[indices]
        known = [value for value in values if not np.isnan(value)]
        assert all(earlier >= later for earlier, later in itertools.pairwise(known))
