"""Bodies of the Open Inference Protocol: what is right round-trips exactly; what is wrong is refused, and says how."""

import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from servable.domain.batch import Batch
from servable.domain.datatypes import DTYPES
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import InvalidInput, ModelFailed
from servable.wire.open_inference import Codec

MATRIX = Signature((Field("x", "FP32", (-1, 3)),), (Field("label", "INT64"), Field("score", "FP32", (-1, 2))))
MIXED = Signature(
    (
        Field("age", "FP64", (-1,), values="missing"),
        Field("city", "BYTES", (-1,), values="missing"),
        Field("count", "INT8", (-1,)),
        Field("flag", "BOOL", (-1,)),
    ),
    (Field("y", "BYTES"),),
)


def codec(signature: Signature = MATRIX, labels: dict[str, tuple[str, ...]] | None = None) -> Codec:
    return Codec(signature, "m", "7", labels, max_elements=10_000)


def tensor(name: str = "x", shape: Any = (1, 3), datatype: Any = "FP32", **rest: Any) -> dict[str, Any]:
    return {"name": name, "shape": list(shape) if isinstance(shape, tuple) else shape, "datatype": datatype, **rest}


def body(*tensors: dict[str, Any], **rest: Any) -> bytes:
    return orjson.dumps({"inputs": list(tensors), **rest})


def faults(data: bytes, signature: Signature = MATRIX, header_length: int | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        codec(signature).decode(data, header_length)
    assert caught.value.detail["example"]["inputs"]
    return "; ".join(caught.value.detail["faults"])


# ---- what is right


@pytest.mark.parametrize(
    "data",
    [
        [1.5, 2, 3, 4, 5, 6],
        [[1.5, 2, 3], [4, 5, 6]],
    ],
)
@pytest.mark.parametrize("padding", ["", " " * 300])
def test_flat_and_nested_values_are_the_same(data: Any, padding: str) -> None:
    raw = body(tensor(shape=(2, 3), data=data)) + padding.encode()
    inquiry = codec().decode(raw)
    assert inquiry.batch["x"].dtype == np.float32
    np.testing.assert_array_equal(inquiry.batch["x"], [[1.5, 2, 3], [4, 5, 6]])


def test_id_and_options_are_read() -> None:
    given_ = {"id": "abc", "parameters": {"timeout": 2_000_000, "priority": 1, "temperature": 0.5, "triton_x": 1}}
    options = codec().decode(body(tensor(data=[1, 2, 3]), **given_)).options
    assert options == ("abc", 2.0, 1, {"temperature": 0.5})
    long = codec().decode(body(tensor(data=[1, 2, 3]), id="i" * 300))
    assert long.options.id == "i" * 300


def test_rows_and_missing_values() -> None:
    rows = [{"age": None, "city": "Oslo", "count": 3, "flag": True}, {"city": None, "count": -3, "flag": False}]
    inquiry = codec(MIXED).decode(orjson.dumps({"rows": rows}))
    assert inquiry.by_rows
    assert np.isnan(inquiry.batch["age"]).all()
    assert inquiry.batch["city"].tolist() == ["Oslo", None]
    assert inquiry.batch["count"].tolist() == [3, -3]
    answer = Batch({"y": np.array(["a", "b"], object)})
    encoded, _ = codec(MIXED).encode("q", answer, inquiry)
    assert orjson.loads(encoded)["rows"] == [{"y": "a"}, {"y": "b"}]


def test_rows_with_an_axis_of_any_length_are_lists_of_one_length() -> None:
    signature = Signature((Field("tokens", "INT64", (-1, -1)),), (Field("label", "INT64"),))
    batch = codec(signature).decode(b'{"rows":[{"tokens":[1,2,3]},{"tokens":[4,5,6]}]}').batch
    assert batch["tokens"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert codec(signature).decode(b'{"rows":[{"tokens":7},{"tokens":8}]}').batch["tokens"].tolist() == [[7], [8]]
    assert "lists of different lengths" in faults(b'{"rows":[{"tokens":[1]},{"tokens":[1,2]}]}', signature)
    assert "nested as [1, 1, 2]" in faults(b'{"rows":[{"tokens":[[1,2]]}]}', signature)


def test_rows_of_a_matrix_are_found_by_name() -> None:
    signature = Signature((Field("x", "FP32", (-1, 2), features=("a", "b")),), (Field("y", "FP32"),))
    inquiry = codec(signature).decode(b'{"rows":[{"b":2,"a":1},{"a":3,"b":4}]}')
    assert inquiry.batch["x"].tolist() == [[1, 2], [3, 4]]
    assert "unknown column" in faults(b'{"rows":[{"b":2,"a":1,"c":1}]}', signature)
    assert "column 'b' in every row" in faults(b'{"rows":[{"a":1}]}', signature)


def test_a_category_written_as_a_number_is_its_text() -> None:
    signature = Signature((Field("zone", "BYTES", (-1,), values="missing"),), (Field("y", "FP32"),))
    batch = codec(signature).decode(b'{"rows":[{"zone":8},{"zone":8.0},{"zone":"8"},{"zone":8.5},{}]}').batch
    assert batch["zone"].tolist() == ["8", "8", "8", "8.5", None]


def test_binary_tensors_behind_the_json() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    head = body(tensor(shape=(2, 3), parameters={"binary_data_size": 24}), id="b")
    both = codec()
    for _ in range(2):  # the second time by the remembered header
        inquiry = both.decode(head + array.tobytes(), len(head))
        np.testing.assert_array_equal(inquiry.batch["x"], array)
        assert inquiry.options.id == "b"


def test_a_raw_body_is_one_row_of_the_only_input() -> None:
    array = np.array([1, 2, 3], np.float32)
    inquiry = codec().decode(array.tobytes(), 0)
    np.testing.assert_array_equal(inquiry.batch["x"], [array])
    encoded, length = codec().encode("r", answer(1), inquiry)
    assert length is not None
    assert encoded[length:] == np.int64(0).tobytes() + np.zeros(2, np.float32).tobytes()


def answer(rows: int) -> Batch:
    return Batch({"label": np.zeros(rows, np.int64), "score": np.zeros((rows, 2), np.float32)})


def test_answers_name_model_version_and_id() -> None:
    both = codec()
    inquiry = both.decode(body(tensor(data=[1, 2, 3])))
    encoded, length = both.encode('say "hi"', answer(1), inquiry)
    assert length is None
    assert orjson.loads(encoded) == {
        "model_name": "m",
        "model_version": "7",
        "id": 'say "hi"',
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [0]},
            {"name": "score", "datatype": "FP32", "shape": [1, 2], "data": [0.0, 0.0]},
        ],
    }


def test_wanted_outputs_only_in_their_order_and_form() -> None:
    both = codec(labels={"score": ("cat", "dog")})
    outputs = [
        {"name": "score", "parameters": {"binary_data": True}},
        {"name": "score", "parameters": {"classification": 1}},
    ]
    inquiry = both.decode(body(tensor(data=[1, 2, 3]), outputs=outputs))
    encoded, length = both.encode(
        "i", Batch({"label": np.zeros(1, np.int64), "score": np.array([[0.25, 0.75]], np.float32)}), inquiry
    )
    assert length is not None
    told = orjson.loads(encoded[:length])["outputs"]
    assert told[0] == {"name": "score", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    assert told[1]["datatype"] == "BYTES"
    assert told[1]["shape"] == [1, 1]
    assert told[1]["data"] == ["0.750000:1:dog"]
    assert encoded[length:] == struct.pack("<ff", 0.25, 0.75)


def test_what_json_cannot_hold_is_an_error_that_names_the_way_out() -> None:
    both = codec()
    inquiry = both.decode(body(tensor(data=[1, 2, 3])))
    for bad in (np.nan, np.inf):
        with pytest.raises(ModelFailed, match=r"'score'.*binary"):
            both.encode(
                "i", Batch({"label": np.zeros(1, np.int64), "score": np.array([[bad, 0]], np.float32)}), inquiry
            )


# ---- what is wrong


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "valid JSON"),
        (b"<html>", "valid JSON"),
        (b"[]", "a JSON object"),
        (b"{}", "'inputs': expected a list of tensors, or 'rows', got nothing"),
        (b'{"inputs":{}}', "'inputs': expected a list"),
        (b'{"inputs":[]}', "'x': expected FP32 [-1, 3], got nothing"),
        (b'{"inputs":[7]}', "'inputs[0]': expected an object with 'name'"),
        (b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,NaN]}]}', "valid JSON"),
        (b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,1e999]}]}', "valid JSON"),
        (b"[" * 100_000, "valid JSON"),
        (b'{"inputs":' * 100_000, "valid JSON"),
        (b'{"inputs":[{"name":"\xff\xfe"}]}', "valid JSON"),
        (b'\xef\xbb\xbf{"inputs":[]}', "valid JSON"),
        (body(tensor(data=[1, 2, 3]), id=7), "'id': expected a string"),
        (body(tensor(data=[1, 2, 3]), parameters=[]), "'parameters': expected an object"),
        (body(tensor(data=[1, 2, 3]), parameters={"timeout": -1}), "'timeout': expected a whole number"),
        (body(tensor(data=[1, 2, 3]), parameters={"a": {}}), "'a': expected a string, number or boolean"),
        (body(tensor(data=[1, 2, 3]), outputs=[{"name": "z"}]), "'outputs': expected one of 'label', 'score'"),
        (body(tensor("y", data=[1, 2, 3])), "'y': expected no such input"),
        (body(tensor(data=[1, 2, 3]), tensor(data=[1, 2, 3])), "'x': expected each input once, got it twice"),
        (body(tensor(datatype="FLOAT", data=[1, 2, 3])), "'datatype' to be one of BOOL"),
        (body(tensor(datatype="FP64", data=[1, 2, 3])), "expected FP32 [-1, 3], got FP64 [1, 3]"),
        (body(tensor(shape=(3,), data=[1, 2, 3])), "expected shape [-1, 3], got shape [3]"),
        (body(tensor(shape=(1, 4), data=[1, 2, 3, 4])), "expected shape [-1, 3], got shape [1, 4]"),
        (body(tensor(shape=(-1, 3), data=[1, 2, 3])), "whole numbers, 0 or more"),
        (body(tensor(shape=(1.0, 3), data=[1, 2, 3])), "whole numbers, 0 or more"),
        (body(tensor(shape=(True, 3), data=[1, 2, 3])), "whole numbers, 0 or more"),
        (body(tensor(shape="1,3", data=[1, 2, 3])), "whole numbers, 0 or more"),
        (body(tensor(shape=(2**62, 2**62), data=[1])), "at most 10000 values"),
        (body(tensor(shape=(1_000_000_000, 3), data=[1])), "at most 10000 values"),
        (body(tensor(data=[1, 2])), "3 values for shape [1, 3], got 2 values"),
        (body(tensor(data=[1, 2, 3, 4])), "3 values for shape [1, 3], got 4 values"),
        (body(tensor(shape=(2, 3), data=[[1, 2, 3], [4, 5]])), "lists of different lengths"),
        (
            body(tensor(shape=(2, 3), data=[[1, 2], [3, 4], [5, 6]])),
            "nested as shape [2, 3], or flat, got nested as [3, 2]",
        ),
        (body(tensor(data=[1, "2", 3])), "numbers for FP32, got text"),
        (body(tensor(data=[1, None, 3])), "finite numbers"),
        (body(tensor(data=[1, {}, 3])), "got an object"),
        (body(tensor(data={"a": 1})), "'x': expected"),
        (body(tensor(data=[1, 2, 1e39])), "fit FP32"),
        (body(tensor(data=[True, False, True])), "numbers for FP32"),
        (body(tensor()), "'data', or 'binary_data_size'"),
        (body(tensor(data=[1, 2, 3], parameters={"binary_data_size": 12})), "got both"),
        (body(tensor(parameters={"binary_data_size": 12})), "12 bytes of binary data, got 0 bytes"),
        (body(tensor(parameters={"binary_data_size": -1})), "'binary_data_size' to be a whole number"),
    ],
)
@pytest.mark.parametrize("padding", [b"", b" " * 300])
def test_each_fault_is_named_and_an_example_shown(data: bytes, said: str, padding: bytes) -> None:
    assert said in faults(data + padding)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ([tensor("count", (1,), "INT8", data=[300])], "whole numbers that fit INT8 (-128 to 127), got 300"),
        ([tensor("count", (1,), "INT8", data=[1.5])], "values of INT8, got fractions"),
        ([tensor("count", (1,), "INT8", data=[2**64 - 1])], "whole numbers that fit INT8"),
        ([tensor("flag", (1,), "BOOL", data=[1])], "true and false, got numbers"),
        ([tensor("city", (1,), "BYTES", data=[3])], "strings, got a number"),
        ([tensor("city", (2,), "BYTES", data=["a", ["b"]])], "strings in lists of equal lengths"),
    ],
)
def test_faults_of_other_datatypes(tensors: list[dict[str, Any]], said: str) -> None:
    assert said in faults(body(*tensors), MIXED)


def test_all_faults_are_told_together() -> None:
    told = faults(
        body(
            tensor("age", (1,), "FP64", data=["x"]),
            tensor("count", (1,), "INT8", data=[999]),
            tensor("flag", (0.5,), "BOOL", data=[]),
        ),
        MIXED,
    )
    assert all(name in told for name in ("'age'", "'count'", "'flag'"))


@pytest.mark.parametrize(
    ("size", "tail", "length", "said"),
    [
        (24, b"\0" * 23, None, "24 bytes of binary data, got 23"),
        (24, b"\0" * 25, None, "expected 24 bytes of binary data, got 25 bytes"),
        (23, b"\0" * 23, None, "24 bytes for FP32 [2, 3], got 23"),
        (24, b"\0" * 24, 10**9, "Inference-Header-Content-Length"),
        (24, b"\0" * 24, -1, "Inference-Header-Content-Length"),
    ],
)
def test_binary_tensors_of_the_wrong_length(size: int, tail: bytes, length: int | None, said: str) -> None:
    head = body(tensor(shape=(2, 3), parameters={"binary_data_size": size}))
    assert said in faults(head + tail, header_length=len(head) if length is None else length)


def test_a_remembered_header_still_checks_the_bytes() -> None:
    head = body(tensor(shape=(1, 3), parameters={"binary_data_size": 12}))
    both = codec()
    both.decode(head + b"\0" * 12, len(head))
    for tail in (b"", b"\0" * 11, b"\0" * 13, np.array([1, np.nan, 2], np.float32).tobytes()):
        with pytest.raises(InvalidInput):
            both.decode(head + tail, len(head))
    assert both.decode(head + b"\0" * 12, len(head)).batch.rows == 1


def test_length_prefixed_text_that_lies_about_its_length() -> None:
    signature = Signature((Field("t", "BYTES"),), (Field("y", "FP32"),))
    for tail, size in ((b"\xff\xff\xff\x7fabc", 7), (b"\1\0\0", 3), (b"\1\0\0\0ab", 6)):
        head = body(tensor("t", (1,), "BYTES", parameters={"binary_data_size": size}))
        assert "'t'" in faults(head + tail, signature, len(head))


# ---- properties


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    datatype = draw(st.sampled_from([name for name in DTYPES if name not in {"BYTES", "FP16"}]))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))
    kwargs = {"allow_nan": False, "allow_infinity": False} if datatype.startswith("FP") else {}
    elements = hnp.from_dtype(DTYPES[datatype], **kwargs)
    return datatype, draw(hnp.arrays(DTYPES[datatype], shape, elements=elements))


@given(tensors(), st.sampled_from(["flat", "nested", "binary"]))
@settings(max_examples=150, deadline=None)
def test_any_tensor_survives_the_wire_exactly(case: tuple[str, np.ndarray], form: str) -> None:
    datatype, array = case
    signature = Signature(
        (Field("x", datatype, (-1,) * array.ndim),), (Field("x", datatype, (-1,) * array.ndim),), batched=False
    )
    both = Codec(signature, "m", "1")
    if form == "binary":
        head = body(tensor("x", tuple(array.shape), datatype, parameters={"binary_data_size": array.nbytes}))
        inquiry = both.decode(head + array.tobytes(), len(head))
    else:
        values = array.tolist() if form == "nested" else array.ravel().tolist()
        inquiry = both.decode(body(tensor("x", tuple(array.shape), datatype, data=values)))
    assert inquiry.batch["x"].dtype == array.dtype
    np.testing.assert_array_equal(inquiry.batch["x"], array)
    encoded, _ = both.encode("i", inquiry.batch, inquiry)
    (told,) = orjson.loads(encoded)["outputs"]
    assert told["shape"] == list(array.shape)
    np.testing.assert_array_equal(np.array(told["data"], array.dtype).reshape(array.shape), array)


@given(st.lists(st.one_of(st.text(), st.none()), max_size=6))
@settings(deadline=None)
def test_any_text_survives_the_wire(values: list[str | None]) -> None:
    signature = Signature((Field("t", "BYTES", values="missing"),), (Field("t", "BYTES", values="missing"),))
    both = Codec(signature, "m", "1")
    try:
        data = body(tensor("t", (len(values),), "BYTES", data=values))
    except TypeError:  # lone surrogates are no JSON
        return
    inquiry = both.decode(data)
    assert inquiry.batch["t"].tolist() == values
    encoded, _ = both.encode("i", inquiry.batch, inquiry)
    assert orjson.loads(encoded)["outputs"][0]["data"] == values


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "shape",
                    "datatype",
                    "data",
                    "parameters",
                    "inputs",
                    "outputs",
                    "id",
                    "binary_data_size",
                    "rows",
                    "x",
                ]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {
            "inputs": st.lists(
                st.fixed_dictionaries(
                    {
                        "name": st.sampled_from(["x", "y"]),
                        "shape": st.one_of(JSON, st.just([1, 3])),
                        "datatype": st.one_of(st.sampled_from(list(DTYPES)), JSON),
                        "data": JSON,
                    },
                    optional={"parameters": JSON},
                ),
                max_size=2,
            )
        },
        optional={"id": JSON, "parameters": JSON, "outputs": JSON, "rows": JSON},
    ),
    st.integers(0, 300),
    st.one_of(st.none(), st.integers(-5, 400)),
)
@settings(max_examples=400, deadline=None)
def test_nothing_but_a_refusal_comes_of_nonsense(
    document: dict[str, Any], padding: int, header_length: int | None
) -> None:
    both = codec()
    try:
        inquiry = both.decode(orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS) + b" " * padding, header_length)
    except InvalidInput:
        pass
    else:
        assert MATRIX.check(inquiry.batch) == []


@given(st.binary(max_size=400), st.one_of(st.none(), st.integers(-5, 400)))
@settings(max_examples=200, deadline=None)
def test_nothing_but_a_refusal_comes_of_noise(data: bytes, header_length: int | None) -> None:
    both = codec(MIXED)
    with pytest.raises(InvalidInput):
        both.decode(data, header_length)
    good = both.decode(orjson.dumps(both.example()))
    assert good.batch.rows == 1
