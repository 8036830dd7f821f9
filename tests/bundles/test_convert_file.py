"""Networks converted to ONNX with proof: TensorFlow's, Keras's and PyTorch's files, and conversions that lie."""

import msgspec
import numpy as np
import onnx
import pytest
from sklearn.datasets import load_digits

import servable
from servable.bundles import convert_file
from servable.bundles.convert_network import to_onnx
from servable.bundles.prove_network import prove
from servable.bundles.source import FileSource
from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import ConversionRejected, UsageError
from servable.runtimes.find import runtime
from tests.assets import wheel

pytestmark = pytest.mark.filterwarnings("ignore")  # what other people's libraries warn of is theirs

PIXELS = (load_digits().images[:64, :, :, None] / 16).astype(np.float32)


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    net = keras.Sequential([
        keras.Input((8, 8, 1), name="pixels"), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(),
        layers.Dense(10, activation="softmax", name="digit"),
    ])  # fmt: skip
    path = tmp_path_factory.mktemp("keras") / "digits.keras"
    net.save(path)
    return path, net


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory):
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.Tanh(), torch.nn.Linear(16, 10))
    rows = {0: torch.export.Dim("rows")}
    path = tmp_path_factory.mktemp("torch") / "digits.pt2"
    torch.export.save(torch.export.export(net.eval(), (torch.zeros(2, 8, 8),), dynamic_shapes=(rows,)), str(path))
    return path, net


@pytest.mark.faults
def test_a_keras_network_becomes_onnx_and_says_how_equal_it_is(keras_file, tmp_path):
    path, net = keras_file
    bundle = servable.pack(path, sample={"pixels": PIXELS}, output=tmp_path / "bundle")
    stated = bundle.manifest
    assert (stated.format, stated.lineage["conversion"]) == ("onnx", "keras to ONNX")
    assert "sample, random, zero, extreme" in stated.lineage["proof"]
    assert "largest differences: output" in stated.lineage["proof"]
    with servable.load(tmp_path / "bundle") as predictor:
        found = predictor.predict({"pixels": PIXELS})
        np.testing.assert_allclose(found["output"], net.predict(PIXELS, verbose=0), atol=1e-5)


def test_a_torch_program_becomes_onnx_without_a_sample_too(torch_file, tmp_path):
    import torch

    path, net = torch_file
    bundle = servable.pack(path, output=tmp_path / "bundle", to="onnx")
    assert (bundle.manifest.format, bundle.signature.batched) == ("onnx", True)
    assert bundle.signature.inputs[0].shape == (-1, 8, 8)
    with servable.load(tmp_path / "bundle") as predictor, torch.inference_mode():
        found = predictor.predict({bundle.signature.inputs[0].name: PIXELS[..., 0]})
        np.testing.assert_allclose(found["output"], net(torch.tensor(PIXELS[..., 0])).numpy(), atol=1e-5)


def test_to_keep_keeps(torch_file, tmp_path):
    bundle = servable.pack(torch_file[0], output=tmp_path / "bundle", to="keep")
    assert bundle.manifest.format == "pytorch"


@pytest.mark.faults
def test_the_published_transcriber_of_music_agrees_with_its_own_onnx(tmp_path):
    folder = wheel("basic-pitch==0.4.0") / "basic_pitch" / "saved_models" / "icassp_2022"
    sound = {"input_2": (np.random.default_rng(0).standard_normal((2, 43844, 1)) * 0.1).astype(np.float32)}
    bundle = servable.pack(folder / "nmp", sample=sound, output=tmp_path / "bundle", to="onnx", name="notes")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "nmp.onnx"))
    expected = session.run(None, {session.get_inputs()[0].name: sound["input_2"]})
    with servable.load(tmp_path / "bundle") as predictor:
        found = predictor.predict(sound)
    assert bundle.manifest.format == "onnx"
    for array in found.values():
        assert any(array.shape == other.shape and np.allclose(array, other, atol=1e-5) for other in expected)


def test_a_conversion_that_lies_is_refused_or_the_file_kept(torch_file, monkeypatch):
    def lying(kind, path):
        graph = onnx.load_from_string(to_onnx(kind, path))
        weight = next(each for each in graph.graph.initializer if len(each.dims) == 2)
        array = onnx.numpy_helper.to_array(weight) * 1.01
        weight.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), weight.name))
        return graph.SerializeToString()

    monkeypatch.setattr(convert_file, "to_onnx", lying)
    path = torch_file[0]
    source = FileSource(path, "pytorch", runtime("pytorch").inspect(path))
    with pytest.raises(ConversionRejected, match="differs on random rows: output"):
        convert_file.pack_file(source, "lied", None, "onnx")
    draft = convert_file.pack_file(source, "lied", None, "auto")
    assert draft.manifest.format == "pytorch"
    assert "differs on random rows" in draft.manifest.lineage["rejected"][0]


class Fixed:
    """A model of one line."""

    concurrent = True

    def __init__(self, answer):
        self.predict = lambda batch: Batch({"y": answer(batch["x"])}, batch.rows)

    def close(self):
        pass


SIGNATURE = Signature((Field("x", "FP32", (-1, 3), values="any"),), (Field("y", "FP32", (-1, 3), values="any"),))


def test_a_label_that_changes_within_the_tolerance_is_refused():
    wide = np.array([[1e4, 1, 1.0001]], np.float32)  # the scale of the output would hide it
    original = Fixed(lambda x: np.repeat(wide[:, 1:], len(x), axis=0))
    candidate = Fixed(lambda x: np.repeat(wide[:, 1:] - [0, 2e-4], len(x), axis=0).astype(np.float32))
    with pytest.raises(ConversionRejected, match="the largest value is another one"):
        prove(original, candidate, SIGNATURE, None)


def test_missing_numbers_that_the_two_treat_differently_are_refused_by_the_contract():
    original, candidate = Fixed(lambda x: x + 0), Fixed(np.nan_to_num)
    proof, signature = prove(original, candidate, SIGNATURE, None)
    assert signature.inputs[0].values == "finite"
    assert set(proof.rows) == {"random", "zero", "extreme"}
    kept = prove(original, original, SIGNATURE, None)[1]
    assert kept == msgspec.structs.replace(SIGNATURE)


def test_a_sample_that_does_not_fit_is_told(torch_file, tmp_path):
    with pytest.raises(UsageError, match="no input 'nothing'"):
        servable.pack(torch_file[0], sample={"nothing": PIXELS}, output=tmp_path / "bundle", to="onnx")
