"""Binary answers that callers of one model call share are, byte for byte, those that each would get alone."""

import numpy as np
import orjson
import pytest

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.wire.inquiry import Inquiry, Wanted
from servable.wire.open_inference import Codec
from servable.wire.options import Options

OUTPUTS = (Field("label", "INT64"), Field("scores", "FP32", (-1, 2)), Field("name", "BYTES"), Field("sure", "BOOL"))


def answer(rows: int, first: int = 0) -> Batch:
    label = np.arange(first, first + rows)
    scores = np.column_stack([label / 7, label / 3]).astype(np.float32)
    names = np.array([str(number) for number in label], object)
    return Batch({"label": label, "scores": scores, "name": names, "sure": label % 2 == 0})


def read(body: bytes, length: int) -> dict[str, Array]:
    found = {}
    for tensor in orjson.loads(body[:length])["outputs"]:
        size = tensor["parameters"]["binary_data_size"]
        dtype = {"INT64": np.int64, "FP32": np.float32, "BOOL": np.bool_}[tensor["datatype"]]
        found[tensor["name"]] = np.frombuffer(body[length : length + size], dtype).reshape(tensor["shape"])
        length += size
    assert length == len(body)
    return found


@pytest.mark.parametrize("names", [("label",), ("scores", "label"), ("label", "scores", "sure")])
def test_each_caller_gets_the_rows_that_are_theirs(names: tuple[str, ...]) -> None:
    codec = Codec(Signature((Field("x", "FP32"),), OUTPUTS), "m", "1")
    wanted = tuple(Wanted(field, binary=True) for name in names for field in OUTPUTS if field.name == name)
    inquiry = Inquiry(Batch({}, 0), Options(), wanted)
    for whole in (answer(6), answer(6, 100), answer(1, 7)):
        start = 0
        while start < whole.rows:
            rows = min(start + 1, whole.rows - start)
            body, length = codec.encode(f"id-{start}", whole, inquiry, start, rows)
            assert length is not None
            document = orjson.loads(body[:length])
            assert (document["id"], document["model_name"]) == (f"id-{start}", "m")
            assert [tensor["name"] for tensor in document["outputs"]] == list(names)
            for name, array in read(body, length).items():
                np.testing.assert_array_equal(array, whole[name][start : start + rows])
            start += rows


def test_what_cannot_be_cut_is_encoded_alone() -> None:
    codec = Codec(Signature((Field("x", "FP32"),), OUTPUTS), "m", "1")
    _, scores, name, _ = OUTPUTS
    for wanted in ((Wanted(name, binary=True),), (Wanted(scores, binary=True, classes=1),), (Wanted(scores),)):
        shared = codec.encode("i", answer(4), Inquiry(Batch({}, 0), Options(), wanted), 1, 2)
        alone = codec.encode("i", answer(4).slice(1, 3), Inquiry(Batch({}, 0), Options(), wanted))
        assert shared == alone
