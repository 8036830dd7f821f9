"""ONNX files as they come: converted by others, without row axes, with text, halves, maps, newer than the runtime."""

import os
import subprocess
import sys
import threading
import time

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import CorruptModel, EnvironmentFault, IncompatibleModel, ModelFailed
from servable.runtimes.find import runtime
from servable.runtimes.onnx import OnnxModel
from tests import packed
from tests.assets import wheel
from tests.runtimes.graphs import graph, saved, value

pytestmark = pytest.mark.filterwarnings("default")


def opened(path):
    bundle = open_bundle(path)
    return bundle, runtime("onnx").load(bundle)


def identity(path, kind="float", shape=("rows", 2), to=None, **how):
    node = helper.make_node("Identity", ["x"], ["y"])
    return saved(path, graph([node], [value("x", kind, shape)], [value("y", kind, to or shape)], **how))


@pytest.fixture(scope="module")
def iris():
    data, target = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[target]
    return data.astype(np.float32), LogisticRegression(max_iter=1000).fit(data, names)


def test_a_converted_classifier_serves_under_its_stem_as_it_is(iris, tmp_path):
    data, model = iris
    saved(tmp_path / "iris.onnx", to_onnx(model, data[:1], options={"zipmap": False}))
    bundle, loaded = opened(tmp_path / "iris.onnx")
    assert (bundle.name, bundle.inferred, bundle.manifest.platform) == ("iris", True, "onnx_onnxv1")
    assert [field.describe() for field in bundle.signature.outputs] == ["BYTES [-1]", "FP32 [-1, 3]"]
    assert bundle.manifest.labels == {"probabilities": ("setosa", "versicolor", "virginica")}
    found = loaded.predict(Batch({"X": data}))
    assert found["label"].tolist() == model.predict(data).tolist()
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(data), atol=1e-5)


@pytest.mark.parametrize("target", [["setosa", "versicolor", "virginica"], [7, 8, 12]])
def test_maps_become_a_matrix_with_the_classes_in_order(iris, target, tmp_path):
    data, _ = iris
    _, kind = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(data, np.array(target)[kind])
    path = saved(tmp_path / "maps.onnx", to_onnx(model, data[:1]))
    names = [output.name for output in onnxruntime.InferenceSession(path).get_outputs()]
    bundle, loaded = opened(path)
    assert [field.name for field in bundle.signature.outputs] == names
    assert bundle.manifest.labels == {names[1]: tuple(map(str, target))}
    assert bundle.signature.outputs[1].features == tuple(map(str, target))
    found = loaded.predict(Batch({"X": data}))
    np.testing.assert_allclose(found[names[1]], model.predict_proba(data), atol=1e-5)
    assert found[names[0]].tolist() == model.predict(data).tolist()
    assert loaded.predict(Batch({"X": data[:0]}))[names[1]].shape == (0, 3)


def test_the_prediction_costs_little_beyond_the_call(iris, tmp_path):
    """The wrapper's own lines: a dict of outputs and a batch. Counted, not timed: no call per row, none per value."""
    data, model = iris
    _, loaded = opened(saved(tmp_path / "iris.onnx", to_onnx(model, data[:1], options={"zipmap": False})))
    calls = []
    inner = loaded._run
    loaded._run = lambda *given: calls.append(given) or inner(*given)
    batch = Batch({"X": data})
    loaded.predict(batch)
    ((names, feeds, _),) = calls
    assert feeds is batch.columns
    assert names == ["label", "probabilities"]


def test_a_fixed_batch_of_one_is_not_batched(tmp_path):
    bundle, loaded = opened(identity(tmp_path / "one.onnx", shape=(1, 3)))
    assert not bundle.signature.batched
    assert bundle.signature.inputs[0].shape == (1, 3)
    found = loaded.predict(Batch({"x": np.ones((1, 3), np.float32)}, 1))
    assert (found.rows, found["y"].shape) == (1, (1, 3))


def test_a_scalar_input_is_not_batched(tmp_path):
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    inputs = [value("x", "float", ["rows"]), value("factor", "float", [])]
    bundle, loaded = opened(saved(tmp_path / "scalar.onnx", graph(nodes, inputs, [value("y", "float", ["rows"])])))
    assert not bundle.signature.batched
    found = loaded.predict(Batch({"x": np.ones(3, np.float32), "factor": np.array(2.0, np.float32)}, 1))
    assert found["y"].tolist() == [2, 2, 2]


def test_a_free_axis_that_is_not_rows_is_not_batched(tmp_path):
    """A running sum along the first axis: joined with another caller's values, both would be wrong."""
    nodes = [helper.make_node("CumSum", ["x", "axis"], ["y"])]
    weights = [helper.make_tensor("axis", onnx.TensorProto.INT64, [], [0])]
    model = graph(nodes, [value("x", "float", ["n", 2])], [value("y", "float", ["n", 2])], weights)
    assert not open_bundle(saved(tmp_path / "sound.onnx", model)).signature.batched


def test_a_shape_that_the_file_states_wrongly_is_corrected(tmp_path):
    """LightGBM's converter says [1] for labels of any number of rows."""
    bundle = open_bundle(identity(tmp_path / "wrong.onnx", shape=("rows", 2), to=(1, 2)))
    assert bundle.signature.batched
    assert bundle.signature.outputs[0].shape == (-1, 2)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("float", [[1.5, -2.0]]),
        ("double", [[1.1, 2.2]]),
        ("half", [[0.5, 1.0]]),
        ("int", [[2**40, -1]]),
        ("bool", [[True, False]]),
        ("text", [["a", "größer"]]),
    ],
)
def test_every_datatype_goes_in_and_comes_out(kind, values, tmp_path):
    bundle, loaded = opened(identity(tmp_path / "same.onnx", kind))
    array = np.array(values, bundle.signature.inputs[0].dtype)
    found = loaded.predict(Batch({"x": array}))
    np.testing.assert_array_equal(found["y"], array)
    assert bundle.signature.check_outputs(found) == []


def test_text_that_is_none_or_bytes_is_refused_not_printed(tmp_path):
    bundle, loaded = opened(identity(tmp_path / "text.onnx", "text"))
    assert bundle.signature.check(Batch({"x": np.array([[None, "a"]], object)}))
    for odd, word in ((None, "missing"), (b"\xff", "UTF-8")):
        with pytest.raises(ModelFailed, match=word):
            loaded.predict(Batch({"x": np.array([[odd, "a"]], object)}))


def test_missing_text_is_told_as_the_manifest_says(tmp_path):
    bundle = open_bundle(identity(tmp_path / "text.onnx", "text"))
    manifest = msgspec.structs.replace(bundle.manifest, options={"missing_text": "<none>"})
    loaded = runtime("onnx").load(msgspec.structs.replace(bundle, manifest=manifest))
    given = np.array([[None, "a"]], object)
    assert loaded.predict(Batch({"x": given}))["y"].tolist() == [["<none>", "a"]]
    assert given.tolist() == [[None, "a"]]


@pytest.mark.parametrize(("how", "word"), [({"opset": 99}, "99"), ({"ir": 99}, "99")])
def test_a_file_newer_than_the_runtime_names_both(how, word, tmp_path):
    with pytest.raises(IncompatibleModel, match=word) as caught:
        open_bundle(identity(tmp_path / "new.onnx", **how))
    assert onnxruntime.__version__ in caught.value.message


def test_an_operator_that_is_not_there_is_named(tmp_path):
    model = graph(
        [helper.make_node("Tokenize", ["x"], ["y"], domain="com.acme")],
        [value("x", "float", ["rows"])],
        [value("y", "float", ["rows"])],
    )
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    with pytest.raises(IncompatibleModel, match="Tokenize"):
        open_bundle(saved(tmp_path / "custom.onnx", model))


def test_outputs_that_are_no_tensors_are_refused_by_name(tmp_path):
    nodes = [helper.make_node("SequenceConstruct", ["x", "x"], ["list"])]
    output = helper.make_tensor_sequence_value_info("list", onnx.TensorProto.FLOAT, None)
    path = saved(tmp_path / "list.onnx", graph(nodes, [value("x", "float", ["rows"])], [output]))
    with pytest.raises(IncompatibleModel, match="'list'"):
        open_bundle(path)


def test_numbers_that_numpy_does_not_have_are_refused(tmp_path):
    node = helper.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.BFLOAT16)
    model = graph([node], [value("x", "float", ["rows"])], [value("y", "brain", ["rows"])])
    with pytest.raises(IncompatibleModel, match="bfloat16"):
        open_bundle(saved(tmp_path / "brain.onnx", model))


def test_whether_missing_values_are_taken_is_read_from_the_file(tmp_path):
    data, target = load_breast_cancer(return_X_y=True)
    plain = to_onnx(RandomForestClassifier(3).fit(data, target), data[:1].astype(np.float32), options={"zipmap": False})
    assert open_bundle(saved(tmp_path / "forest.onnx", plain)).signature.inputs[0].values == "finite"
    (trees,) = (node for node in plain.graph.node if node.op_type == "TreeEnsembleClassifier")
    (leads,) = (each for each in trees.attribute if each.name == "nodes_missing_value_tracks_true")
    leads.ints[0] = 1
    assert open_bundle(saved(tmp_path / "leads.onnx", plain)).signature.inputs[0].values == "missing"
    assert open_bundle(identity(tmp_path / "net.onnx")).signature.inputs[0].values == "any"


def test_a_manifest_that_disagrees_with_the_model_is_told_apart(tmp_path):
    bundle = open_bundle(identity(tmp_path / "same.onnx"))
    (field,) = bundle.signature.inputs
    for changes, word in (
        ({"name": "z"}, "needs input 'x'"),
        ({"datatype": "FP64"}, "is FP32 in the model"),
        ({"shape": (-1, 7)}, r"\[-1, 7\] in the manifest"),
    ):
        wrong = msgspec.structs.replace(field, **changes)
        signature = msgspec.structs.replace(bundle.signature, inputs=(wrong,))
        manifest = msgspec.structs.replace(bundle.manifest, signature=signature)
        with pytest.raises(CorruptModel, match=word):
            runtime("onnx").load(msgspec.structs.replace(bundle, manifest=manifest))


def test_a_device_that_is_not_there_is_said(tmp_path):
    bundle = open_bundle(identity(tmp_path / "same.onnx"))
    with pytest.raises(EnvironmentFault, match="'tpu'"):
        runtime("onnx").load(bundle, "tpu")


def test_a_wrong_call_is_one_line(tmp_path):
    _, loaded = opened(identity(tmp_path / "same.onnx"))
    with pytest.raises(ModelFailed, match="onnxruntime: ") as caught:
        loaded.predict(Batch({"x": np.ones((1, 9), np.float32)}))
    assert "\n" not in caught.value.message
    assert "onnxruntime_src" not in caught.value.message


def test_no_thread_is_started_and_nothing_spins(tmp_path):
    data, target = load_breast_cancer(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=20).fit(data, target)
    path = saved(tmp_path / "boosting.onnx", to_onnx(model, data[:1].astype(np.float32), options={"zipmap": False}))
    before = threading.active_count(), _tasks()
    _, loaded = opened(path)
    batch = Batch({"X": data.astype(np.float32)})
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(50):
        loaded.predict(batch)
    assert time.process_time() - cpu <= 1.5 * (time.perf_counter() - started)
    assert (threading.active_count(), _tasks()) == before


def _tasks():
    from pathlib import Path

    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 0


def test_a_model_of_others_with_a_free_batch(tmp_path):
    """File types: int32 [rows, 2048] to 214 classes."""
    path = wheel("magika==1.0.3", everywhere=False) / "magika" / "models" / "standard_v3_3" / "model.onnx"
    bundle, loaded = opened(path)
    (field,) = bundle.signature.inputs
    assert (bundle.signature.batched, field.datatype, field.shape) == (True, "INT32", (-1, 2048))
    rows = np.random.default_rng(0).integers(0, 256, (3, 2048)).astype(np.int32)
    (expected,) = onnxruntime.InferenceSession(path).run(None, {field.name: rows})
    np.testing.assert_allclose(loaded.predict(Batch({field.name: rows}))[bundle.signature.outputs[0].name], expected)


def test_a_model_with_a_state_is_never_joined():
    """Voice activity: what one caller said before must not reach another."""
    for path in sorted((wheel("silero-vad==6.2.3") / "silero_vad" / "data").glob("silero_vad*.onnx")):
        try:
            assert not open_bundle(path).signature.batched, path.name
        except IncompatibleModel:
            assert "sequence" in path.name or "optional" in path.read_bytes().decode("latin-1")


def test_the_model_can_be_made_of_any_session(tmp_path):
    path = identity(tmp_path / "same.onnx")
    model = OnnxModel(onnxruntime.InferenceSession(path), open_bundle(path).signature)
    assert model.predict(Batch({"x": np.ones((2, 2), np.float32)}))["y"].sum() == 4


def test_an_output_named_with_a_json_text_keeps_its_name(tmp_path):
    """Exporters have named outputs by what they print: the name is the caller's, whatever it holds."""
    name = '{"axis": 0, "name": "y"}'
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "x"], [name])],
        "named",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2])],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 2])],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, tmp_path / "named.onnx")
    bundle = open_bundle(tmp_path / "named.onnx")
    assert [field.name for field in bundle.signature.outputs] == [name]
    model = runtime("onnx").load(bundle)
    assert model.predict(Batch({"x": np.ones((2, 2), np.float32)}))[name].tolist() == [[2, 2], [2, 2]]
    model.close()


def test_nothing_of_it_is_left_in_the_home_of_the_user_nor_sent(tmp_path):
    """onnxruntime sends home what it does, and keeps an id of the machine for it, unless it is told not to."""
    packed.scaler(tmp_path / "twice.onnx")
    (tmp_path / "home").mkdir()
    code = "import servable, sys; servable.load(sys.argv[1]).predict({'x': [[1.0, 2.0]]})"
    environ = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environ["HOME"] = str(tmp_path / "home")
    subprocess.run([sys.executable, "-c", code, tmp_path / "twice.onnx"], env=environ, check=True)
    assert list((tmp_path / "home").rglob("*")) == []
