"""Messages to Batch and back: every datatype, raw and typed, all faults at once, and whatever else may come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from servable.domain.batch import Batch
from servable.domain.datatypes import DTYPES
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import InvalidInput, ServableError
from servable.wire.generated import open_inference_pb2 as pb
from servable.wire.grpc_tensors import CONTENTS, Form, GrpcCodec, read_request
from servable.wire.open_inference import Codec
from servable.wire.tensors import to_raw

LIMIT = 10_000


def codec(signature: Signature, labels: dict | None = None) -> GrpcCodec:
    return GrpcCodec(Codec(signature, "m", "3", labels, max_elements=LIMIT), "m", "3")


def echo(datatype: str, axes: int) -> GrpcCodec:
    """A model that takes and gives `x` of this datatype, of any shape with so many axes."""
    field = Field("x", datatype, (-1,) * axes, values="any" if datatype.startswith("FP") else "finite")
    return codec(Signature((field,), (field,)))


def request(**more) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(model_name="m", **more)


def add(message: pb.ModelInferRequest, name: str, array: np.ndarray, datatype: str, *, raw: bool = True) -> None:
    tensor = message.inputs.add(name=name, datatype=datatype, shape=array.shape)
    if raw:
        message.raw_input_contents.append(to_raw(array))
    elif datatype == "BYTES":
        values = [value if isinstance(value, bytes) else value.encode() for value in array.ravel()]
        tensor.contents.bytes_contents.extend(values)
    else:
        getattr(tensor.contents, CONTENTS[datatype]).extend(array.ravel().tolist())


def faults(answer: GrpcCodec, message: pb.ModelInferRequest) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        answer.decode(message)
    assert caught.value.detail["example"]["inputs"]
    assert all(fault in caught.value.message for fault in caught.value.detail["faults"])
    return caught.value.detail["faults"]


def read_answer(encoded: bytes) -> tuple[pb.ModelInferResponse, dict[str, np.ndarray]]:
    """The answer as the stock client reads it."""
    from tritonclient.grpc import InferResult, service_pb2

    answer = pb.ModelInferResponse.FromString(encoded)
    result = InferResult(service_pb2.ModelInferResponse.FromString(encoded))
    return answer, {output.name: result.as_numpy(output.name) for output in answer.outputs}


texts = st.one_of(st.text(max_size=8), st.binary(max_size=8).filter(lambda value: not _is_text(value)))


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    datatype = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    if datatype != "BYTES":
        return datatype, draw(hnp.arrays(DTYPES[datatype], shape))
    size = int(np.prod(shape))
    values = draw(st.lists(texts, min_size=size, max_size=size))
    return datatype, np.array([*values, None], object)[:-1].reshape(shape)


@given(tensors(), st.booleans())
def test_every_datatype_and_shape_comes_through(tensor, raw):
    datatype, array = tensor
    answer = echo(datatype, array.ndim)
    message = request(id="7")
    add(message, "x", array, datatype, raw=raw or datatype == "FP16")
    inquiry, form = answer.decode(read_request(message.SerializeToString()))
    got = inquiry.batch["x"]
    assert got.dtype == array.dtype
    assert got.shape == array.shape
    assert inquiry.batch.rows == array.shape[0]
    assert inquiry.options.id == "7"
    _same(got, array)

    told, arrays = read_answer(answer.encode("7", inquiry.batch, form))
    assert (told.model_name, told.model_version, told.id) == ("m", "3", "7")
    assert [(out.name, out.datatype, list(out.shape)) for out in told.outputs] == [("x", datatype, list(array.shape))]
    if datatype == "BYTES":
        encoded = [value if isinstance(value, bytes) else value.encode() for value in array.ravel()]
        assert arrays["x"].ravel().tolist() == encoded
    else:
        _same(arrays["x"], array)


@given(tensors())
def test_typed_answers_hold_the_same_values(tensor):
    datatype, array = tensor
    if datatype == "FP16":
        return
    answer = echo(datatype, array.ndim)
    told = pb.ModelInferResponse.FromString(answer.encode("", Batch({"x": array}), Form(None, typed=True)))
    values = getattr(told.outputs[0].contents, CONTENTS[datatype])
    assert not told.raw_output_contents
    back = request()
    tensor_back = back.inputs.add(name="x", datatype=datatype, shape=array.shape)
    getattr(tensor_back.contents, CONTENTS[datatype]).extend(values)
    _same(answer.decode(back)[0].batch["x"], array)


def _same(got: np.ndarray, array: np.ndarray) -> None:
    if array.dtype.kind == "f":
        np.testing.assert_array_equal(got, array)
    else:
        assert got.tolist() == array.tolist()


# ---- what is refused

TWO = codec(
    Signature(
        (Field("a", "FP32", (-1, 2)), Field("b", "BYTES", (-1,))),
        (Field("y", "FP32", (-1, 3)), Field("half", "FP16"), Field("word", "BYTES")),
    ),
    {"y": ("cat", "dog", "cow")},
)
A = np.ones((2, 2), np.float32)
B = np.array(["x", "y"], object)


def test_all_faults_are_told_at_once():
    message = request()
    add(message, "a", np.ones((2, 3), np.float32), "FP32")
    add(message, "c", A, "FP32")
    add(message, "c", A, "FP32")
    told = faults(TWO, message)
    assert len(told) == 1  # the message itself comes first: what it holds is judged when it can be read
    assert told == ["'c': expected each input once, got it twice"]
    del message.inputs[2], message.raw_input_contents[2]
    assert faults(TWO, message) == [
        "'c': expected no such input (inputs are 'a', 'b'), got FP32 [2, 2]",
        "'a': expected shape [-1, 2], got shape [2, 3]",
        "'b': expected BYTES [-1], got nothing",
    ]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda m: m.inputs[0].shape.extend([-1]), "'a': expected 'shape' to be a list of whole numbers"),
        (lambda m: m.inputs[0].shape.extend([2**62]), f"'a': expected at most {LIMIT} values"),
        (lambda m: m.inputs[0].shape.extend([0, 2**62]), f"'a': expected at most {LIMIT} values"),
        (lambda m: m.inputs[0].shape.extend([1] * 40), "'a': expected at most 32 axes, got 42"),
        (lambda m: m.inputs[0].shape.extend([2]), "'a': expected 32 bytes for FP32 [2, 2, 2], got 16 bytes"),
        (lambda m: setattr(m.inputs[0], "datatype", "FP8"), "'a': expected 'datatype' to be one of BOOL"),
        (lambda m: setattr(m.inputs[0], "datatype", "INT32"), "'a': expected FP32 [-1, 2], got INT32 [2, 2]"),
        (lambda m: setattr(m.inputs[0], "name", ""), "expected no such input"),
        (
            lambda m: m.raw_input_contents.pop(),
            "'raw_input_contents': expected none, or one for each of 2 inputs, got 1",
        ),
        (
            lambda m: m.inputs[0].contents.fp32_contents.append(1),
            "'a': expected 'contents' or 'raw_input_contents', got both",
        ),
        (lambda m: _truncate(m, 1, 9), "'b': expected 1 bytes for value 1, got 0 bytes"),
        (lambda m: _truncate(m, 1, 7), "'b': expected 2 length-prefixed values, got the bytes of 1"),
        (lambda m: m.raw_input_contents.__setitem__(1, m.raw_input_contents[1] + b"z"), "'b': expected 10 bytes"),
        (
            lambda m: _poke(m, "shared_memory_region", string_param="r"),
            "'a': expected values in the message, got a region",
        ),
        (lambda m: m.outputs.add(name="z"), "'outputs': expected one of 'y', 'half', 'word', got 'z'"),
        (lambda m: [m.outputs.add(name="y"), m.outputs.add(name="y")], "expected each output once, got 'y' twice"),
        (lambda m: _classify(m, "y", -1), "'y': expected 'classification' to be a whole number, got -1"),
        (lambda m: _classify(m, "word", 1), "'word': expected no 'classification'"),
        (lambda m: m.parameters["priority"].MergeFrom(pb.InferParameter(string_param="soon")), "parameter 'priority'"),
        (
            lambda m: m.parameters["p"].MergeFrom(pb.InferParameter()),
            "parameter 'p': expected a string, number or boolean",
        ),
        (lambda m: m.parameters["binary_data_output"].MergeFrom(pb.InferParameter(bool_param=False)), "FP16"),
    ],
)
def test_each_fault_names_the_field_what_was_expected_and_what_came(spoil, told):
    message = request()
    add(message, "a", A, "FP32")
    add(message, "b", B, "BYTES")
    TWO.decode(message)
    spoil(message)
    assert any(told in fault for fault in faults(TWO, message))


def _truncate(message: pb.ModelInferRequest, index: int, size: int) -> None:
    message.raw_input_contents[index] = message.raw_input_contents[index][:size]


def _poke(message: pb.ModelInferRequest, name: str, **value) -> None:
    message.inputs[0].parameters[name].MergeFrom(pb.InferParameter(**value))


def _classify(message: pb.ModelInferRequest, output: str, classes: int) -> None:
    message.outputs.add(name=output).parameters["classification"].int64_param = classes


@pytest.mark.parametrize(
    ("datatype", "home", "values", "told"),
    [
        ("INT8", "int_contents", [128], "expected whole numbers that fit INT8"),
        ("UINT8", "uint_contents", [256], "expected whole numbers that fit UINT8"),
        ("INT16", "int_contents", [-40_000], "expected whole numbers that fit INT16"),
        ("FP32", "fp64_contents", [1.0], "expected the values of FP32 in 'fp32_contents', got some in fp64_contents"),
        ("INT64", "int_contents", [1], "expected the values of INT64 in 'int64_contents', got some in int_contents"),
        ("FP16", "fp32_contents", [1.0], "expected FP16 in 'raw_input_contents'"),
        ("BOOL", "bool_contents", [True, False], "expected 1 values for shape [1], got 2 values"),
        ("BYTES", "bytes_contents", [], "expected 1 values for shape [1], got 0 values"),
        ("FP64", "fp64_contents", [1.0, 2.0], "expected 1 values for shape [1], got 2 values"),
    ],
)
def test_typed_contents_are_judged(datatype, home, values, told):
    message = request()
    getattr(message.inputs.add(name="x", datatype=datatype, shape=[1]).contents, home).extend(values)
    assert any(told in fault for fault in faults(echo(datatype, 1), message))


def test_bytes_that_are_no_message():
    with pytest.raises(InvalidInput, match="not a valid"):
        read_request(b"\x0a\xff")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        read_request(b"\x0a\x02\xff\xfe")


# ---- answers


def test_outputs_in_the_order_and_form_asked_for():
    message = request(id="i")
    add(message, "a", A, "FP32")
    add(message, "b", B, "BYTES")
    message.outputs.add(name="word")
    _classify(message, "y", 2)
    _, form = TWO.decode(message)
    answer = Batch(
        {
            "y": np.array([[0.5, 0.25, 0.125], [0, 1, 2]], np.float32),
            "half": np.ones(2, np.float16),
            "word": np.array(["ä", None], object),
        }
    )
    told, arrays = read_answer(TWO.encode("i", answer, form))
    assert [output.name for output in told.outputs] == ["word", "y"]
    assert arrays["word"].tolist() == ["ä".encode(), b""]
    assert arrays["y"].tolist() == [[b"0.500000:0:cat", b"0.250000:1:dog"], [b"2.000000:2:cow", b"1.000000:1:dog"]]
    told, arrays = read_answer(TWO.encode("i", answer, Form()))
    assert [output.name for output in told.outputs] == ["y", "half", "word"]
    assert arrays["half"].dtype == np.float16


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_shapes_that_change_from_answer_to_answer(sizes):
    answer = echo("INT64", 2)
    for size in sizes:
        array = np.arange(2 * size, dtype=np.int64).reshape(size, 2)
        _, arrays = read_answer(answer.encode("", Batch({"x": array}), Form()))
        assert arrays["x"].tolist() == array.tolist()


def test_absent_inputs_that_may_be_missing_are_filled():
    fields = (Field("a", "FP32", (-1, 1)), Field("b", "FP32", (-1, 1), values="missing"))
    message = request()
    add(message, "a", A[:, :1], "FP32")
    inquiry, _ = codec(Signature(fields, fields)).decode(message)
    assert np.isnan(inquiry.batch["b"]).all()


def test_options_and_parameters_of_the_model():
    message = request(id="id")
    add(message, "a", A, "FP32")
    add(message, "b", B, "BYTES")
    message.parameters["timeout"].int64_param = 250_000
    message.parameters["priority"].uint64_param = 2
    message.parameters["sequence_id"].int64_param = 9
    message.parameters["threshold"].double_param = 0.5
    options = TWO.decode(message)[0].options
    assert (options.id, options.timeout_s, options.priority) == ("id", 0.25, 2)
    assert options.parameters == {"threshold": 0.5}


# ---- anything

PLAIN = request(id="i")
add(PLAIN, "a", A, "FP32")
add(PLAIN, "b", B, "BYTES")
PLAIN.parameters["timeout"].int64_param = 5
PLAIN.outputs.add(name="y").parameters["classification"].int64_param = 1
TYPED = request()
add(TYPED, "a", A, "FP32", raw=False)
add(TYPED, "b", B, "BYTES", raw=False)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([PLAIN.SerializeToString(), TYPED.SerializeToString()]),
    st.lists(st.tuples(st.floats(0, 1), st.one_of(st.none(), st.binary(max_size=9))), min_size=1, max_size=4),
)
def test_a_mutated_message_is_answered_or_refused_and_nothing_else(message, changes):
    for where, what in changes:
        position = int(where * len(message))
        cut = 1 if what is None else len(what)
        message = message[:position] + (what or b"") + message[position + cut :]
    try:
        inquiry, _ = TWO.decode(read_request(message))
    except InvalidInput as error:
        assert error.message
    else:
        assert not TWO._signature.check(inquiry.batch)


@settings(max_examples=200)
@given(st.data())
def test_any_request_that_can_be_written_is_answered_or_refused(data):
    """Messages that parse, with any values in any field."""
    message = request(id=data.draw(st.text(max_size=3)))
    for _ in range(data.draw(st.integers(0, 3))):
        tensor = message.inputs.add(
            name=data.draw(st.sampled_from(["a", "b", "", "c"])),
            datatype=data.draw(st.sampled_from([*sorted(DTYPES), "", "BF16"])),
            shape=data.draw(st.lists(st.sampled_from([0, 1, 2, -1, 2**31, 2**62]), max_size=4)),
        )
        if data.draw(st.booleans()):
            tensor.contents.fp32_contents.extend(data.draw(st.lists(st.floats(width=32), max_size=4)))
        if data.draw(st.booleans()):
            tensor.contents.bytes_contents.extend(data.draw(st.lists(st.binary(max_size=3), max_size=4)))
    message.raw_input_contents.extend(data.draw(st.lists(st.binary(max_size=20), max_size=3)))
    try:
        inquiry, form = TWO.decode(message)
        answer = {"y": np.zeros((inquiry.batch.rows, 3), np.float32), "half": np.zeros(inquiry.batch.rows, np.float16)}
        answer["word"] = np.full(inquiry.batch.rows, "w", object)
        TWO.encode("", Batch(answer), form)
    except ServableError as error:
        assert isinstance(error, InvalidInput)
