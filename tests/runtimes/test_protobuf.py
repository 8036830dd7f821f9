import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper

from servable.runtimes.onnx_file import is_onnx, read
from servable.runtimes.protobuf import Malformed, Part, floats, integers, packed, parts, put, signed, text
from tests.runtimes.graphs import graph, product, value


@given(st.lists(st.tuples(st.integers(1, 2**20), st.one_of(st.binary(max_size=50), st.integers(0, 2**64 - 1)))))
def test_what_is_put_is_read(fields):
    data = b"".join(put(number, content) for number, content in fields)
    found = [(part.number, data[part.start : part.stop] if part.kind == 2 else part.value) for part in parts(data)]
    assert found == fields


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    try:
        for part in parts(data):
            assert 0 <= part.begin < part.stop <= len(data)
            text(data, part)
    except Malformed:
        pass
    is_onnx(data, len(data))


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_packed_numbers_are_those_that_onnx_reads(numbers):
    attribute = AttributeProto.FromString(packed(8, np.array(numbers, np.uint64)))
    assert [each % (1 << 64) for each in attribute.ints] == numbers


def test_negative_numbers_come_back():
    (part,) = parts(put(3, -5))
    assert signed(part.value) == -5


@pytest.mark.parametrize(
    "data", [b"\x0a\x05abc", b"\x08", b"\x08" + b"\xff" * 11, b"\x0b", b"\x02\x01a", b"\x09\x01", b"\x0d\x01"]
)
def test_what_is_cut_off_or_odd_is_malformed(data):
    with pytest.raises(Malformed):
        list(parts(data))


def test_an_onnx_file_is_known_by_its_head_however_it_is_cut():
    data = product("x").SerializeToString()
    assert all(is_onnx(data[:size], len(data)) for size in range(40, len(data)))
    assert not is_onnx(b"", 0)
    assert not is_onnx(b"tree\nversion=v4\n", 16)


def test_what_a_file_says_of_itself():
    node = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["l", "p"],
        domain="ai.onnx.ml",
        classlabels_strings=["no", "yes"],
        coefficients=[1.0, 2.0],
    )
    model = graph(
        [node],
        [value("x", "float", ["n", 1])],
        [value("l", "text", ["n"]), value("p", "float", ["n", 2])],
        ml=3,
        opset=17,
    )
    model.producer_name, model.producer_version = "maker", "1.2"
    found = read(model.SerializeToString())
    assert (found.ir_version, found.opsets) == (10, {"": 17, "ai.onnx.ml": 3})
    assert (found.producer, found.producer_version) == ("maker", "1.2")
    assert (found.classes, found.estimators, found.takes_missing) == ((("no", "yes"),), True, False)


def test_a_model_without_maps_is_left_as_it_is():
    data = product("x").SerializeToString()
    assert read(data).model is data


@pytest.mark.parametrize("labels", [{"classlabels_int64s": [-3, 300]}, {"classlabels_strings": ["a", "b"]}])
def test_a_map_becomes_an_identity_in_the_very_graph(labels):
    node = helper.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", **labels)
    kind = TensorProto.INT64 if "classlabels_int64s" in labels else TensorProto.STRING
    declared = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    output = helper.make_value_info("maps", helper.make_sequence_type_proto(declared))
    model = graph([node], [value("p", "float", ["n", 2])], [output], ml=1)
    found = read(model.SerializeToString())
    assert found.maps == {"maps": tuple(map(str, *labels.values()))}
    changed = type(model).FromString(found.model)
    assert [each.op_type for each in changed.graph.node] == ["Identity"]
    (shape,) = (each.type.tensor_type.shape for each in changed.graph.output)
    assert [dim.dim_value for dim in shape.dim] == [0, 2]


def test_two_graphs_are_one_too_many():
    data = product("x").SerializeToString()
    with pytest.raises(Malformed, match="two graphs"):
        read(data + data)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.floats(width=32, allow_nan=False)))
def test_many_numbers_are_those_that_onnx_wrote(whole, broken):
    attribute = AttributeProto(name="numbers", type=AttributeProto.INTS, ints=whole, floats=broken)
    data = attribute.SerializeToString()
    message = Part(0, 2, 0, 0, 0, len(data))
    assert integers(data, message, 8).tolist() == whole
    assert floats(data, message, 7).tolist() == broken
    packed_ones = packed(8, np.array(whole, np.int64)) + put(7, np.array(broken, "<f4").tobytes())
    message = Part(0, 2, 0, 0, 0, len(packed_ones))
    assert integers(packed_ones, message, 8).tolist() == whole
    assert floats(packed_ones, message, 7).tolist() == broken
