from __future__ import annotations

import numpy as np
import orjson
import pytest

from servable.domain.batch import Batch
from servable.domain.datatypes import DTYPES
from servable.domain.field import Field
from servable.errors import CorruptModel
from servable.stores.tables.layout import Layout


def test_every_datatype_comes_back():
    fields = [Field(name.lower(), name) for name in DTYPES]
    values = {
        field.name: np.array(["a", None, "ж"], object)
        if field.datatype == "BYTES"
        else np.array([0, 1, 1], field.dtype)
        for field in fields
    }
    layout = Layout(fields)
    rows = layout.rows(layout.encode(Batch(values)))
    assert [row["bytes"] for row in rows] == ["a", None, "ж"]
    assert [row["bool"] for row in rows] == [False, True, True]
    assert all([row[field.name] for row in rows] == [0, 1, 1] for field in fields if field.datatype != "BYTES")


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 3)])
@pytest.mark.parametrize("datatype", [name for name in DTYPES if name != "BYTES"])
def test_one_row_of_every_datatype_reads_as_many_do(datatype, shape):
    field, other = Field("x", datatype, shape, values="any"), Field("before", "INT8")
    dtype = field.dtype
    ends = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype) if dtype.kind in "iu" else None
    least, most = (False, True) if ends is None else (ends.min, ends.max)
    third = np.array(1 / 3).astype(dtype)
    count = 3 if shape[-1] == 3 else 1
    values = np.array([[least] * count, [most] * count, [third] * count], dtype).reshape(3, *shape[1:])
    layout = Layout((other, field))
    answers = layout.encode(Batch({"before": np.array([1, 2, 3], np.int8), "x": values}))
    assert list(map(layout.json, answers)) == layout.texts(answers)
    assert list(map(orjson.loads, layout.texts(answers))) == layout.rows(answers)


def test_rows_are_those_of_a_prediction():
    layout = Layout(
        (
            Field("probability", "FP32", (-1, 2), features=("no", "yes"), values="any"),
            Field("score", "FP64", (-1, 1), values="any"),
            Field("image", "UINT8", (-1, 2, 2)),
            Field("ragged", "INT64", (-1, -1)),
        )
    )
    batch = Batch(
        {
            "probability": np.array([[0.1, 0.9], [np.nan, 1]], np.float32),
            "score": np.array([[1.5], [np.inf]]),
            "image": np.arange(8, dtype=np.uint8).reshape(2, 2, 2),
            "ragged": np.array([[1, 2, 3], [4, 5, 6]]),
        }
    )
    assert layout.rows(layout.encode(batch)) == [
        {"probability": {"no": 0.1, "yes": 0.9}, "score": 1.5, "image": [[0, 1], [2, 3]], "ragged": [1, 2, 3]},
        {"probability": {"no": None, "yes": 1.0}, "score": None, "image": [[4, 5], [6, 7]], "ragged": [4, 5, 6]},
    ]
    assert layout.rows([]) == []


def test_texts_are_the_rows_as_json():
    fields = (
        Field("a %s b", "FP32", (-1, 2), features=("no", '"y%'), values="any"),
        Field("one", "FP64", (-1, 1), values="any"),
        Field("vector", "FP32", (-1, 3)),
        Field("only", "INT8", (-1, 1), features=("x",)),
        Field("yes", "BOOL"),
        Field("large", "UINT64"),
    )
    batch = Batch(
        {
            "a %s b": np.array([[0.1, np.nan], [1e-30, 1]], np.float32),
            "one": np.array([[1.5], [np.inf]]),
            "vector": np.arange(6, dtype=np.float32).reshape(2, 3),
            "only": np.array([[-1], [1]], np.int8),
            "yes": np.array([True, False]),
            "large": np.array([2**64 - 1, 0], np.uint64),
        }
    )
    for chosen in (fields, fields[:1], fields[2:3], (*fields, Field("t", "BYTES"))):
        layout = Layout(chosen)
        answers = layout.encode(Batch({"t": np.array(["ж", None], object), **batch.columns}))
        assert list(map(orjson.loads, layout.texts(answers))) == layout.rows(answers)
        assert layout.texts(answers) == [layout.json(answer) for answer in answers]
        assert layout.texts([]) == []


@pytest.mark.parametrize("column", [Field("y", "FP32"), Field("y", "BYTES")])
def test_bytes_that_are_no_answer_are_told(column):
    with pytest.raises(CorruptModel, match="cannot be read"):
        Layout((column,)).rows([b"\xc1\xc1\xc1"])
    with pytest.raises(CorruptModel, match="cannot be read"):
        Layout((column,)).texts([b"\xc1\xc1\xc1"])
