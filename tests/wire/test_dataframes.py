"""Data frames and CSV, as MLflow and SageMaker send them: columns by name, missing values, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import InvalidInput
from servable.wire.dataframes import from_csv, from_records, from_split, to_csv

NAMED = Signature(
    (Field("x", "FP32", (-1, 2), features=("age", "height"), values="missing"),), (Field("y", "FP32", (-1, 1)),)
)
BARE = Signature((Field("x", "FP32", (-1, 2)),), (Field("y", "FP32"),))
MIXED = Signature(
    (Field("age", "INT64"), Field("job", "BYTES", values="missing"), Field("member", "BOOL")),
    (Field("label", "BYTES"), Field("scores", "FP32", (-1, 2))),
)


def lists(batch: Batch) -> dict[str, list]:
    return {name: array.tolist() for name, array in batch.columns.items()}


@pytest.mark.parametrize(
    "text",
    [
        "age,height\n1,2\n3,4\n",
        "height,age\r\n2,1\r\n4,3\r\n",
        "\ufeffage,height\n1,2\n\n3,4",
        "1,2\n3,4\n",
        '"1"," 2 "\n3,4',
    ],
)
def test_columns_are_found_by_name_and_else_by_place(text: str) -> None:
    assert lists(from_csv(text.encode(), NAMED, 100)) == {"x": [[1.0, 2.0], [3.0, 4.0]]}


def test_missing_cells_are_missing_values() -> None:
    for cell in ("", "NA", "NaN", "null"):
        array = from_csv(f"age,height\n{cell},2\n".encode(), NAMED, 100)["x"]
        assert np.isnan(array[0, 0])
    assert lists(from_csv(b"age,job,member\n7,,true\n", MIXED, 100)) == {"age": [7], "job": [None], "member": [True]}
    with pytest.raises(InvalidInput):
        from_csv(b"age,job,member\n,clerk,true\n", MIXED, 100)


def test_each_datatype_is_read_as_it_is() -> None:
    big = 2**60 + 1
    batch = from_csv(f"member,job,age\nFALSE,007,{big}\n".encode(), MIXED, 100)
    assert lists(batch) == {"age": [big], "job": ["007"], "member": [False]}


def test_a_matrix_without_names_takes_lines_without_a_header() -> None:
    assert lists(from_csv(b"1,2\n3,4\n", BARE, 100)) == {"x": [[1.0, 2.0], [3.0, 4.0]]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"age,height\n1\n", "line 2"),
        (b"1,2,3\n", "2 values, got 3"),
        (b"age,height\nold,2\n", "numbers"),
        (b"\xff\xfe", "CSV in UTF-8"),
        (b"age,height\n" + b"1,2\n" * 100, "at most 100 values"),
        (b"a\x00b,2\n", "'x'"),
    ],
)
def test_csv_faults_are_told(text: bytes, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        from_csv(text, NAMED, 100)
    assert said in refused.value.message
    assert refused.value.detail["example"]


def test_splits_and_records() -> None:
    split = {"columns": ["height", "age"], "index": [5], "data": [[2, 1]]}
    assert lists(from_split(split, NAMED, 100)) == {"x": [[1.0, 2.0]]}
    assert lists(from_records([{"age": 1, "height": 2}], NAMED, 100)) == {"x": [[1.0, 2.0]]}
    for wrong in (None, [], {"columns": ["age"]}, {"columns": "age", "data": []}, {"columns": [1], "data": []},
                  {"columns": ["age"], "data": [[1, 2]]}, {"columns": ["age"], "data": [1]}):  # fmt: skip
        with pytest.raises(InvalidInput):
            from_split(wrong, NAMED, 100)


def test_answers_are_lines() -> None:
    answer = Batch({"label": np.array(["a,b", None], object), "scores": np.array([[0.1, 0.9], [0.5, 0.5]], np.float32)})
    assert to_csv(answer, MIXED) == b'"a,b",0.1,0.9\n,0.5,0.5\n'


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_clearly_refused(body: bytes) -> None:
    for signature in (NAMED, BARE, MIXED):
        try:
            batch = from_csv(body, signature, 100)
        except InvalidInput:
            continue
        assert signature.check(batch) == []
