from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import UsageError
from servable.offline.intake import named, needed, take

NUMBER = Signature((Field("x", "FP32", (-1,)),), (Field("y", "FP32", (-1,)),))


def signature(*inputs):
    return Signature(inputs, (Field("y", "FP32", (-1,)),))


def taken(values, field, kind=None):
    return take(pa.RecordBatch.from_arrays([pa.array(values, kind)], [field.name]), signature(field))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, 2], pa.float64()),
        ([1, 2], pa.int8()),
        ([True, False], None),
        (["1.5", " 2e0 "], None),
        ([b"1.5", b"2"], None),
        (pa.array(["1.5", "2"]).dictionary_encode(), None),
        (pa.array([1, 2], pa.decimal128(5, 1)), None),
    ],
)
def test_what_reads_as_a_number_is_one(values, kind):
    found = taken(values, Field("x", "FP32"), kind)
    assert found.good is None and not found.reasons
    assert found.batch["x"].dtype == np.float32
    assert set(found.batch["x"].tolist()) <= {1.5, 2.0, 1.0, 0.0}


@pytest.mark.parametrize("datatype", ["BOOL", "INT8"])
def test_truths_of_a_file_are_truths_and_a_missing_one_is_set_aside(datatype):
    found = taken([True, None, False], Field("x", datatype), pa.bool_())
    assert found.batch["x"].tolist() == [1, 0]
    assert found.batch["x"].dtype == Field("x", datatype).dtype
    assert found.reasons == {1: [f"'x': expected {datatype}, got nothing"]}


@pytest.mark.parametrize("texts", [["1", "NAN"], ["1", "nan"], ["1", "iNf"], ["1", "inf"], ["1", ""], ["1", None]])
@pytest.mark.parametrize("more", [[], ["x"]])
def test_words_for_no_number_mean_the_same_whatever_stands_beside_them(texts, more):
    found = taken([*texts, *more], Field("x", "FP32", values="any"), pa.string())
    odd = texts[1] in {"NAN", "iNf"}
    assert found.batch.rows == (1 if odd else 2)
    assert (1 in found.reasons) == odd


def test_rows_that_do_not_fit_are_set_aside_with_the_reason():
    found = taken(["1", "x", None, "nan", "1e999", "7"], Field("x", "FP32", low=0, high=5))
    assert found.batch["x"].tolist() == [1.0]
    assert found.good.tolist() == [True, False, False, False, False, False]
    assert {row: why[0] for row, why in found.reasons.items()} == {
        1: "'x': expected a number, got 'x'",
        2: "'x': expected finite numbers, got nan",
        3: "'x': expected finite numbers, got nan",
        4: "'x': expected finite numbers, got inf",
        5: "'x': expected at most 5, got 7.0",
    }


@pytest.mark.parametrize(
    ("values", "kind", "bad"),
    [
        ([1, 300, -1, None], pa.int64(), {1, 2, 3}),
        ([1.0, 1.5, float("nan"), 255.0], None, {1, 2}),
        (["7", "7.0", "7.5", ""], None, {2, 3}),
    ],
)
def test_nothing_is_lost_in_whole_numbers(values, kind, bad):
    found = taken(values, Field("x", "UINT8"), kind)
    assert set(found.reasons) == bad


def test_large_whole_numbers_stay_exact():
    value = 2**53 + 1
    assert taken([value], Field("x", "INT64")).batch["x"].tolist() == [value]
    assert taken([str(value)], Field("x", "INT64")).batch["x"].tolist() == [value]


def test_texts_categories_and_dates():
    kinds = signature(
        Field("c", "BYTES", (-1, 1), categories=("8", "a")),
        Field("d", "BYTES", (-1, 1), content="date", values="missing"),
    )
    block = pa.RecordBatch.from_arrays(
        [
            pa.array([8.0, 8.0, None, 1.5]),
            pa.array([dt.date(2026, 1, 31), None, None, dt.date(2026, 2, 1)]),
        ],
        ["c", "d"],
    )
    found = take(block, kinds)
    assert found.batch["c"].tolist() == [["8"], ["8"]]
    assert found.batch["d"].tolist() == [["2026-01-31"], [None]]
    assert found.reasons == {
        2: ["'c': expected text, and no nulls, got None"],
        3: ["'c': expected one of 8, a, got 1.5"],
    }


def test_bytes_that_are_no_text_are_a_fault_of_their_row():
    found = taken([b"a", b"\xff"], Field("x", "BYTES"))
    assert found.batch["x"].tolist() == ["a"]
    assert "expected UTF-8" in found.reasons[1][0]


def test_columns_become_the_features_of_a_matrix():
    matrix = signature(Field("x", "FP32", (-1, 3), features=("a", "b", "c"), values="missing"))
    block = pa.RecordBatch.from_arrays([pa.array([1, 2]), pa.array([None, 4.5])], ["c", "a"])
    assert np.array_equal(take(block, matrix).batch["x"], [[np.nan, np.nan, 1], [4.5, np.nan, 2]], equal_nan=True)


def test_columns_without_names_go_by_their_order():
    bare = signature(Field("x", "FP32", (-1, 2)))
    assert named(bare, ["id", "b", "a"], "id").inputs[0].features == ("b", "a")
    assert named(bare, ["id", "b"], "id") is bare
    assert named(bare, ["x", "y", "id"], "id") is bare


def test_a_tensor_a_row():
    block = pa.RecordBatch.from_arrays([pa.array([[[1, 2], [3, 4]], [[1, 2]]])], ["x"])
    found = take(block, signature(Field("x", "FP32", (-1, 2, 2))))
    assert found.batch["x"].tolist() == [[[1, 2], [3, 4]]]
    assert found.reasons == {1: ["'x': expected 4 values, got 2"]}


def test_columns_that_lack_are_all_told():
    kinds = signature(Field("a", "FP32"), Field("b", "INT64"), Field("c", "FP32", values="missing"))
    assert needed(kinds, ["a", "b", "other"]) == ["a", "b"]
    with pytest.raises(UsageError, match="lacks columns 'a', 'b' of the model: it has 'c'"):
        needed(kinds, ["c"])


def test_a_column_that_can_be_no_number_is_told():
    with pytest.raises(UsageError, match="expected numbers for FP32, got date32"):
        taken([dt.date(2026, 1, 1)], Field("x", "FP32"))
