import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature

SIGNATURE = Signature(
    inputs=(
        Field("age", "FP32", (-1,), low=0, high=130),
        Field("city", "BYTES", (-1,), values="missing", categories=("Oslo", "Rome")),
        Field("when", "BYTES", (-1,), content="date"),
        Field("pixels", "UINT8", (-1, 2, -1)),
    ),
    outputs=(Field("score", "FP64"),),
)


def good(rows: int = 2) -> dict[str, np.ndarray]:
    return dict(SIGNATURE.example(rows).columns)


def faults(**changes: np.ndarray) -> list[str]:
    return [str(fault) for fault in SIGNATURE.check(Batch(good() | changes, 2))]


def test_the_example_passes() -> None:
    for rows in (0, 1, 7):
        assert SIGNATURE.check(SIGNATURE.example(rows)) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": np.zeros(2)}, "'age': expected FP32 [-1], got FP64 [2]"),
        ({"age": np.zeros((2, 1), np.float32)}, "'age': expected shape [-1], got shape [2, 1]"),
        ({"age": np.array([1, np.nan], np.float32)}, "'age': expected finite numbers, got nan (row 1)"),
        ({"age": np.array([-np.inf, 1], np.float32)}, "'age': expected finite numbers, got -inf (row 0)"),
        ({"age": np.array([-1, -2], np.float32)}, "'age': expected at least 0, got -1.0 (rows 0, 1)"),
        ({"age": np.array([1, 131], np.float32)}, "'age': expected at most 130, got 131.0 (row 1)"),
        ({"city": np.array(["Oslo", "Bonn"], object)}, "'city': expected one of Oslo, Rome, got Bonn (row 1)"),
        (
            {"when": np.array(["2026-02-30", "2026-01-01"], object)},
            "'when': expected ISO 8601 dates, got 2026-02-30 (row 0)",
        ),
        (
            {"when": np.array(["2026", "1767225600"], object)},
            "'when': expected ISO 8601 dates, got 1767225600 (row 1)",
        ),
        ({"when": np.array(["20260101", "2026-01"], object)}, "'when': expected ISO 8601 dates, got 20260101 (row 0)"),
        ({"when": np.array([None, "2026-01-01"], object)}, "'when': expected text, and no nulls, got None (row 0)"),
        ({"pixels": np.zeros((2, 3, 5), np.uint8)}, "'pixels': expected shape [-1, 2, -1], got shape [2, 3, 5]"),
        (
            {"shoe": np.zeros(2)},
            "'shoe': expected no such input (inputs are 'age', 'city', 'when', 'pixels'), got FP64 [2]",
        ),
    ],
)
def test_each_fault_is_named(changes: dict[str, np.ndarray], message: str) -> None:
    assert faults(**changes) == [message]


def test_missing_text_is_taken_where_the_field_allows_it() -> None:
    assert faults(city=np.array([None, "Rome"], object)) == []


def test_every_fault_is_told_at_once() -> None:
    told = faults(age=np.array([np.nan, 200], np.float32), city=np.array(["Bonn", "Bonn"], object), extra=np.zeros(2))
    assert len(told) == 4
    columns = good()
    del columns["when"]
    assert [str(fault) for fault in SIGNATURE.check(Batch(columns, 2))] == ["'when': expected BYTES [-1], got nothing"]


def test_different_numbers_of_rows_are_a_fault() -> None:
    columns = good() | {"age": np.zeros(3, np.float32)}
    assert "the same number of rows" in str(SIGNATURE.check(Batch(columns, 2))[-1])


def test_absent_columns_are_filled_where_missing_is_allowed() -> None:
    columns = good()
    del columns["city"]
    batch = SIGNATURE.complete(Batch(columns, 2))
    assert batch["city"].tolist() == [None, None]
    assert SIGNATURE.check(batch) == []


def test_huge_values_are_finite() -> None:
    """The quick test squares; what overflows in the square is not a fault."""
    signature = Signature((Field("x", "FP32", (-1, 2)),), ())
    assert signature.check(Batch({"x": np.array([[3e38, -3e38]], np.float32)})) == []


def test_a_fault_in_a_matrix_names_the_feature() -> None:
    signature = Signature((Field("x", "FP32", (-1, 2), features=("height", "weight")),), ())
    (fault,) = signature.check(Batch({"x": np.array([[1, np.nan]], np.float32)}))
    assert str(fault) == "'x': expected finite numbers, got nan in feature 'weight' (row 0)"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Field("x", "FLOAT"),
        lambda: Field("x", "FP32", (-2,)),
        lambda: Field("x", "FP32", (-1, 3), features=("a", "b")),
        lambda: Signature((Field("x", "FP32"), Field("x", "FP32")), ()),
        lambda: Signature((Field("x", "FP32", (1, 2)),), ()),
    ],
)
def test_contradictions_are_refused_when_they_are_written(make: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()  # type: ignore[operator]
