import numpy as np
import pytest

from servable.domain.batch import Batch


def batch(start: int, rows: int) -> Batch:
    return Batch(
        {
            "x": np.arange(start, start + rows * 2, dtype=np.float32).reshape(rows, 2),
            "n": np.arange(start, start + rows),
        }
    )


def test_join_then_split_gives_every_caller_its_own_rows() -> None:
    parts = [batch(0, 1), batch(10, 3), batch(20, 0), batch(30, 2)]
    joined = Batch.join(parts)
    assert joined.rows == 6
    for part, back in zip(parts, joined.split([1, 3, 0, 2]), strict=True):
        assert back.rows == part.rows
        np.testing.assert_array_equal(back["x"], part["x"])
        np.testing.assert_array_equal(back["n"], part["n"])


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in their number of rows"):
        Batch({"a": np.zeros(2), "b": np.zeros(3)})


def test_a_split_must_use_every_row() -> None:
    with pytest.raises(ValueError, match="add up to 2"):
        batch(0, 3).split([1, 1])


@pytest.mark.parametrize(
    "other",
    [
        Batch({"x": np.zeros((1, 3), np.float32)}),
        Batch({"x": np.zeros((1, 2), np.float64)}),
        Batch({"y": np.zeros((1, 2), np.float32)}),
        Batch({"x": np.zeros((1, 2), np.float32)}, parameters={"temperature": 0.5}),
    ],
)
def test_what_must_not_be_joined_has_another_key(other: Batch) -> None:
    assert other.key() != Batch({"x": np.zeros((4, 2), np.float32)}).key()


def test_rows_do_not_matter_to_the_key() -> None:
    assert batch(0, 1).key() == batch(5, 9).key()
