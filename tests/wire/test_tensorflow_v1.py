"""V1 bodies: rows and columns, lists and objects, text and bytes; every fault told; answers in the shape asked for."""

from __future__ import annotations

import base64
import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import InvalidInput, ModelFailed
from servable.wire.tensorflow_v1 import decode, encode, example

MATRIX = Signature((Field("x", "FP32", (-1, 3)),), (Field("y", "FP32", (-1, 2)),))
NAMED = Signature((Field("x", "FP32", (-1, 2), features=("age", "height")),), (Field("y", "INT64"),))
MIXED = Signature(
    (Field("age", "FP32", (-1, 1)), Field("job", "BYTES", (-1, 1), values="missing")),
    (Field("label", "BYTES"), Field("score", "FP64", (-1, 2))),
)
SERIES = Signature((Field("audio", "INT16", (-1, -1)),), (Field("y", "FP32"),))
WHOLE = Signature((Field("image", "UINT8", (2, 2)),), (Field("y", "FP32", ()),), batched=False)


def read(body: object, signature: Signature) -> tuple[dict, bool]:
    ask = decode(orjson.dumps(body), signature, 10_000)
    return {name: array.tolist() for name, array in ask.batch.columns.items()}, ask.by_rows


@pytest.mark.parametrize(
    ("signature", "body", "columns"),
    [
        (MATRIX, {"instances": [[1, 2, 3], [4, 5, 6]]}, {"x": [[1, 2, 3], [4, 5, 6]]}),
        (MATRIX, {"instances": [{"x": [1, 2, 3]}]}, {"x": [[1, 2, 3]]}),
        (MATRIX, {"inputs": [[1, 2, 3]]}, {"x": [[1, 2, 3]]}),
        (MATRIX, {"inputs": {"x": [[1, 2, 3]]}}, {"x": [[1, 2, 3]]}),
        (MATRIX, {"signature_name": "other", "strange": 1, "inputs": [[1, 2, 3]]}, {"x": [[1, 2, 3]]}),
        (NAMED, {"instances": [{"height": 2, "age": 1}]}, {"x": [[1, 2]]}),
        (NAMED, {"instances": [[1, 2]]}, {"x": [[1, 2]]}),
        (MIXED, {"instances": [{"age": 1.5, "job": "clerk"}]}, {"age": [[1.5]], "job": [["clerk"]]}),
        (MIXED, {"instances": [{"age": [1.5], "job": ["clerk"]}]}, {"age": [[1.5]], "job": [["clerk"]]}),
        (MIXED, {"instances": [{"age": 1.5}, {"age": 2.5}]}, {"age": [[1.5], [2.5]], "job": [[None], [None]]}),
        (MIXED, {"inputs": {"age": [1.5], "job": ["clerk"]}}, {"age": [[1.5]], "job": [["clerk"]]}),
        (MIXED, {"inputs": {"age": [[1.5]], "job": [[None]]}}, {"age": [[1.5]], "job": [[None]]}),
        (MIXED, {"inputs": {"age": [[1.5]]}}, {"age": [[1.5]], "job": [[None]]}),
        (SERIES, {"instances": [[1, 2, 3, 4]]}, {"audio": [[1, 2, 3, 4]]}),
        (WHOLE, {"inputs": [[1, 2], [3, 4]]}, {"image": [[1, 2], [3, 4]]}),
        (WHOLE, {"inputs": {"image": [[1, 2], [3, 4]]}}, {"image": [[1, 2], [3, 4]]}),
    ],
)
def test_every_form_is_read(signature: Signature, body: dict, columns: dict) -> None:
    assert read(body, signature) == (columns, "instances" in body)


def test_bytes_come_in_base64() -> None:
    signature = Signature((Field("image", "BYTES", (-1,)),), (Field("y", "FP32"),))
    raw = b"\x89PNG\xff"
    packed = {"b64": base64.b64encode(raw).decode()}
    for body in (
        {"instances": [packed, "text"]},
        {"instances": [{"image": packed}, {"image": "text"}]},
        {"inputs": [packed, "text"]},
    ):
        assert read(body, signature)[0] == {"image": [raw, "text"]}
    assert read({"instances": [{"b64": "dGV4dA=="}]}, signature)[0] == {"image": ["text"]}


@pytest.mark.parametrize(
    ("signature", "body", "said"),
    [
        (MATRIX, {}, "'instances' (rows) or 'inputs' (columns), got neither"),
        (MATRIX, {"instances": [], "inputs": []}, "got instances and inputs"),
        (MATRIX, {"instances": 5}, "a list, one item a row"),
        (MATRIX, {"instances": [[1, 2]]}, "expected shape [-1, 3], got shape [1, 2]"),
        (MATRIX, {"instances": [1, 2, 3]}, "expected shape [-1, 3], got shape [3]"),
        (MATRIX, {"instances": [[1, 2, 3], [1, 2]]}, "lists of different lengths"),
        (MATRIX, {"instances": [["a", "b", "c"]]}, "numbers for FP32"),
        (MATRIX, {"instances": [[1, None, 3]]}, "finite numbers"),
        (MATRIX, {"instances": [[1, 1e40, 3]]}, "fit FP32"),
        (MATRIX, {"instances": [{"x": [1, 2, 3]}, [1, 2, 3]]}, "both (row 1)"),
        (MATRIX, {"instances": [{"z": [1, 2, 3]}]}, "an input of the model ('x')"),
        (MATRIX, {"instances": [{}]}, "column 'x' in every row"),
        (MATRIX, {"inputs": {"z": [[1, 2, 3]]}}, "an input of the model ('x')"),
        (MATRIX, {"inputs": "text"}, "'x'"),
        (MATRIX, {"inputs": 5}, "'x'"),
        (MATRIX, {"instances": [[[[1]]]]}, "expected shape [-1, 3]"),
        (NAMED, {"instances": [{"age": 1, "weight": 2}]}, "'weight'"),
        (MIXED, {"instances": [[1.5, "clerk"]]}, "objects that name the inputs ('age', 'job')"),
        (MIXED, {"instances": [{"job": "clerk"}]}, "column 'age' in every row"),
        (MIXED, {"instances": [{"age": [1.5], "job": ["a"]}, {"job": ["a"]}]}, "none in row 1"),
        (MIXED, {"inputs": {"age": [1.5, 2.5], "job": ["a"]}}, "same number of rows"),
        (MIXED, {"inputs": {"age": [1.5], "job": [{"b64": "***"}]}}, "valid base64"),
        (MIXED, {"inputs": {"age": [1.5], "job": [{"c64": "YQ=="}]}}, "an object with ['c64']"),
        (MIXED, {"inputs": {"age": [1.5], "job": [5]}}, "strings"),
        (WHOLE, {"instances": [[[1, 2], [3, 4]]]}, "this model has no rows"),
        (WHOLE, {"inputs": [[1, 2], [3, 400]]}, "fit UINT8"),
        (SERIES, {"instances": [[1.5]]}, "INT16"),
    ],
)
def test_every_fault_is_told_with_a_body_that_works(signature: Signature, body: dict, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(body, signature)
    assert said in refused.value.message
    assert len(refused.value.message) < 2000
    read(refused.value.detail["example"], signature)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        read({"inputs": {"age": ["x"], "job": [1], "strange": 1}}, MIXED)
    assert len(refused.value.detail["faults"]) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"5", b"\xff", b'{"instances": [[NaN, 1, 2]]}', b"\xef\xbb\xbf{}",
        b'{"instances": [1e400]}', b'{"instances": ["\\ud800"]}', b'{"instances": [18446744073709551616]}',
        b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"instances": [' + b"[" * 900 + b"]" * 900 + b"]}",
        b'{"inputs": ' + b'{"x":' * 10_000 + b"1" + b"}" * 10_001,
    ],
)  # fmt: skip
@pytest.mark.parametrize("signature", [MATRIX, MIXED, NAMED, SERIES])
def test_a_hostile_body_is_a_clear_error(body: bytes, signature: Signature) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(body, signature, 10_000)
    assert len(refused.value.message) < 2000


def test_deep_text_does_not_exhaust_the_stack() -> None:
    signature = Signature((Field("t", "BYTES", (-1,)),), (Field("y", "FP32"),))
    body = b'{"instances": ["a", ' + b"[" * 900 + b"]" * 900 + b"]}"
    with pytest.raises(InvalidInput):
        decode(body, signature, 10_000)


def test_many_names_are_not_many_columns() -> None:
    rows = [{f"c{n}": [1]} for n in range(5000)]
    with pytest.raises(InvalidInput) as refused:
        read({"instances": rows}, MATRIX)
    assert len(refused.value.detail["faults"]) <= 20


def test_elements_are_counted_before_they_are_made() -> None:
    for body in (
        {"instances": [[1, 2, 3]] * 5000},
        {"inputs": [[1, 2, 3]] * 5000},
        {"inputs": {"x": [[1, 2, 3]] * 5000}},
    ):
        with pytest.raises(InvalidInput, match="at most 10000 values"):
            read(body, MATRIX)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["x", "age", "job", "b64", "z"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    way=st.sampled_from(["instances", "inputs"]),
    value=json_values,
    signature=st.sampled_from([MATRIX, NAMED, MIXED, SERIES, WHOLE]),
)
def test_any_json_is_taken_or_clearly_refused(way: str, value: object, signature: Signature) -> None:
    try:
        ask = decode(json.dumps({way: value}).encode(), signature, 1000)
    except InvalidInput:
        return
    assert signature.check(ask.batch) == []


@given(npst.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-1e6, 1e6, width=32)))
def test_rows_and_columns_mean_the_same(array: np.ndarray) -> None:
    for body in ({"instances": array.tolist()}, {"inputs": array.tolist()}):
        assert np.array_equal(decode(orjson.dumps(body), MATRIX, 1000).batch["x"], array)


def written(answer: Batch, signature: Signature, *, by_rows: bool) -> dict:
    return orjson.loads(orjson.dumps(encode(answer, signature, by_rows=by_rows)))


def test_answers_take_the_shape_of_the_question() -> None:
    answer = Batch({"y": np.array([[1.5, 2], [3, 4]], np.float32)})
    assert written(answer, MATRIX, by_rows=True) == {"predictions": [[1.5, 2.0], [3.0, 4.0]]}
    assert written(answer, MATRIX, by_rows=False) == {"outputs": [[1.5, 2.0], [3.0, 4.0]]}
    several = Batch({"label": np.array(["a", b"\xff"], object), "score": np.array([[0.1, 0.9], [0.5, 0.5]])})
    assert written(several, MIXED, by_rows=True) == {
        "predictions": [{"label": "a", "score": [0.1, 0.9]}, {"label": {"b64": "/w=="}, "score": [0.5, 0.5]}]
    }
    assert written(several, MIXED, by_rows=False) == {
        "outputs": {"label": ["a", {"b64": "/w=="}], "score": [[0.1, 0.9], [0.5, 0.5]]}
    }
    assert written(Batch({"y": np.array(2.5, np.float32)}, 1), WHOLE, by_rows=False) == {"outputs": 2.5}


def test_a_float32_is_written_as_short_as_it_is() -> None:
    for shape in ((1, 2), (2,)):
        signature = Signature(MATRIX.inputs, (Field("y", "FP32", (-1, *shape[1:])),))
        text = orjson.dumps(encode(Batch({"y": np.full(shape, 0.1, np.float32)}), signature, by_rows=True))
        assert b"0.1," in text
        assert b"0.10000000149" not in text


def test_outputs_named_bytes_are_base64() -> None:
    signature = Signature(MATRIX.inputs, (Field("image_bytes", "BYTES"),))
    assert written(Batch({"image_bytes": np.array(["hi", None], object)}), signature, by_rows=True) == {
        "predictions": [{"b64": "aGk="}, None]
    }


@pytest.mark.parametrize("shape", [(2,), (2, 2)])
def test_what_json_cannot_hold_is_an_error_unless_missing_is_allowed(shape: tuple[int, ...]) -> None:
    values = np.ones(shape, np.float32)
    values[0] = np.nan
    strict = Signature(MATRIX.inputs, (Field("y", "FP32", (-1, *shape[1:])),))
    with pytest.raises(ModelFailed, match="'y' holds nan"):
        encode(Batch({"y": values}), strict, by_rows=True)
    lenient = Signature(MATRIX.inputs, (Field("y", "FP32", (-1, *shape[1:]), values="missing"),))
    nulls = [None, 1.0] if len(shape) == 1 else [[None, None], [1.0, 1.0]]
    assert written(Batch({"y": values}), lenient, by_rows=True) == {"predictions": nulls}


@pytest.mark.parametrize("signature", [MATRIX, NAMED, MIXED, SERIES, WHOLE])
def test_the_example_works(signature: Signature) -> None:
    decode(orjson.dumps(example(signature)), signature, 1000)
