import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from servable.bundles.difference import differences
from servable.bundles.golden import golden_bytes, golden_rows, prove_golden, read_golden
from servable.bundles.open import open_bundle
from servable.bundles.write import write_bundle
from servable.domain.batch import Batch
from servable.errors import BundleError, CorruptModel, DigestMismatch, IncompatibleModel
from servable.runtimes.find import runtime
from tests.packed import bundle_at

KINDS = st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint64, np.int64, np.bool_])


@given(arrays.arrays(KINDS, arrays.array_shapes(max_dims=3, max_side=4)))
def test_numbers_come_back_to_the_last_bit(array):
    inputs, outputs, _, _ = read_golden(golden_bytes(Batch({"x": array}), Batch({"y": array}, len(array))))
    np.testing.assert_array_equal(inputs["x"], array, strict=True)
    np.testing.assert_array_equal(outputs["y"], array, strict=True)


@given(st.lists(st.one_of(st.none(), st.text(), st.binary()), max_size=8))
def test_texts_bytes_and_missing_ones_come_back(values):
    array = np.empty(len(values), object)
    array[:] = values
    inputs, _, _, _ = read_golden(golden_bytes(Batch({"x": array}), Batch({"x": array})))
    assert inputs["x"].tolist() == values


def test_the_file_is_text_and_the_same_each_time():
    batch = Batch({"b": np.array([1.5, np.nan, -np.inf], np.float32), "a": np.array(["x", None, "ü"], object)})
    data = golden_bytes(batch, batch)
    assert data == golden_bytes(Batch(dict(reversed(batch.columns.items()))), batch)
    assert '"data":[1.5,"nan","-inf"]' in data.decode()


def tensor(datatype, shape, data):
    return f'{{"inputs":{{"x":{{"datatype":"{datatype}","shape":{shape},"data":{data}}}}},"outputs":{{}}}}'.encode()


BROKEN = [tensor("FP99", [1], [1]), tensor("FP32", [3], [1]), tensor("BYTES", [1], '[{"b64":"%"}]')]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", *BROKEN])
def test_what_is_no_golden_file_is_corrupt(data):
    with pytest.raises(CorruptModel, match="golden rows"):
        read_golden(data)


@pytest.fixture
def bundle(tmp_path):
    source = open_bundle(bundle_at(tmp_path / "source"))
    rows = Batch({"x": np.arange(8, dtype=np.float32).reshape(4, 2)})
    expected = Batch({"y": rows["x"] * 2})
    files = {"model.onnx": source.model_path, "golden.json": golden_bytes(rows, expected)}
    return write_bundle(tmp_path / "a", msgspec.structs.replace(source.manifest, golden="golden.json"), files)


def test_a_loaded_model_is_held_against_them(bundle):
    model = runtime("onnx").load(bundle)
    assert prove_golden(bundle, model) == 4
    assert golden_rows(bundle).rows == 4


class Wrong:
    def __init__(self, answer):
        self.predict = lambda batch: answer(batch["x"] * 2)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda y: Batch({"y": y + np.float32(0.01)}), "4 rows differ"),
        (lambda y: Batch({"y": y[:-1]}), "shape"),
        (lambda y: Batch({"z": y}), "absent"),
        (lambda y: Batch({"y": np.where(y == 6, np.nan, y)}), "nan came"),
        (lambda y: Batch({"y": y if len(y) > 1 else y + 1}), "1 rows differ"),
    ],
)
def test_a_model_that_answers_otherwise_does_not_serve(bundle, answer, says):
    with pytest.raises(IncompatibleModel, match="golden rows") as caught:
        prove_golden(bundle, Wrong(answer))
    assert says in caught.value.message


def test_rows_that_were_changed_after_packing_are_refused(bundle):
    path = bundle.folder / "golden.json"
    path.write_bytes(path.read_bytes().replace(b"14.0", b"15.0"))
    with pytest.raises(DigestMismatch):
        prove_golden(bundle, Wrong(lambda y: Batch({"y": y})))
    with pytest.raises(BundleError):
        golden_rows(bundle)


def test_rows_that_break_the_contract_are_refused(tmp_path, bundle):
    strange = Batch({"z": np.zeros((1, 2), np.float32)})
    files = {"model.onnx": bundle.model_path, "golden.json": golden_bytes(strange, strange)}
    other = write_bundle(tmp_path / "b", bundle.manifest, files)
    with pytest.raises(CorruptModel, match="break its own signature"):
        prove_golden(other, Wrong(lambda y: Batch({"y": y})))


def test_a_bundle_without_them_proves_nothing(tmp_path):
    bundle = open_bundle(bundle_at(tmp_path / "plain"))
    assert (prove_golden(bundle, Wrong(None)), golden_rows(bundle)) == (0, None)


@pytest.mark.parametrize(
    ("expected", "found", "count"),
    [
        ([1.0, 2.0], [1.00005, 2.0], 0),
        ([1.0, 2.0], [1.01, 2.0], 1),
        ([0.0], [9e-6], 0),
        ([0.0], [2e-5], 1),
        ([np.nan], [np.nan], 0),
        ([np.nan], [1.0], 1),
        ([np.inf, -np.inf], [np.inf, np.inf], 1),
        ([1e30], [1.00005e30], 0),
    ],
)
def test_what_counts_as_equal(expected, found, count):
    (difference,) = differences(Batch({"y": np.array(expected)}), Batch({"y": np.array(found)}))
    assert difference.count == count
    assert ("equal" in str(difference)) == (count == 0)


def test_labels_are_equal_or_not():
    (difference,) = differences(Batch({"y": np.array([1, 2, 3])}), Batch({"y": np.array([1, 2, 4])}))
    assert (difference.count, difference.rows) == (1, (2,))
    assert "3 expected, 4 came" in str(difference)
