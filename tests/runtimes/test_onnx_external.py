"""Weights in other files: from inside the model's folder only, checked, and never opened by path by onnxruntime."""

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import CorruptModel, DigestMismatch, UnsafeModel
from servable.runtimes.find import runtime
from servable.runtimes.onnx_external import locations
from servable.runtimes.protobuf import put
from tests.runtimes.graphs import graph, outside, product, saved, value

WEIGHT = np.array([[1, 2], [3, 4]], np.float32)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    inside = tmp_path / "model"
    inside.mkdir()
    (inside / "weight.bin").write_bytes(WEIGHT.tobytes())
    return inside


def test_weights_beside_the_model_are_part_of_the_bundle(folder):
    bundle = open_bundle(saved(folder / "m.onnx", product("weight.bin")))
    assert [file.path for file in bundle.manifest.files] == ["m.onnx", "weight.bin"]
    answer = runtime("onnx").load(bundle).predict(Batch({"x": np.ones((3, 2), np.float32)}))
    assert answer["y"].tolist() == [[4, 6]] * 3


def test_weights_that_changed_after_opening_are_refused(folder):
    bundle = open_bundle(saved(folder / "m.onnx", product("weight.bin")))
    (folder / "weight.bin").write_bytes((WEIGHT + 1).tobytes())
    with pytest.raises(DigestMismatch, match=r"weight\.bin"):
        runtime("onnx").load(bundle)


@pytest.mark.parametrize("place", ["../secret.bin", "sub/../../secret.bin", "/etc/hostname", "..\\secret.bin", ""])
def test_a_path_out_of_the_folder_is_refused(folder, place):
    with pytest.raises((UnsafeModel, CorruptModel)):
        open_bundle(saved(folder / "m.onnx", product(place)))


def test_an_absolute_path_is_refused_even_if_it_is_inside(folder):
    with pytest.raises(UnsafeModel, match="inside the model's own folder"):
        open_bundle(saved(folder / "m.onnx", product(str(folder / "weight.bin"))))


def test_a_symbolic_link_out_is_refused(folder):
    (folder / "link.bin").symlink_to(folder.parent / "secret.bin")
    with pytest.raises(UnsafeModel, match="link"):
        open_bundle(saved(folder / "m.onnx", product("link.bin")))


def test_a_linked_folder_is_refused(folder):
    (folder / "sub").symlink_to(folder.parent, target_is_directory=True)
    with pytest.raises(UnsafeModel, match="link"):
        open_bundle(saved(folder / "m.onnx", product("sub/secret.bin")))


def test_a_hard_link_is_refused(folder):
    os.link(folder.parent / "secret.bin", folder / "hard.bin")
    with pytest.raises(UnsafeModel, match="link"):
        open_bundle(saved(folder / "m.onnx", product("hard.bin")))


@pytest.mark.parametrize("make", [str, lambda path: path.write_bytes(b""), lambda path: path.mkdir()])
def test_weights_that_are_not_there_are_named(folder, make):
    make(folder / "other.bin")
    with pytest.raises((CorruptModel, UnsafeModel), match=r"other\.bin"):
        open_bundle(saved(folder / "m.onnx", product("other.bin")))


def test_too_few_weights_are_refused(folder):
    (folder / "weight.bin").write_bytes(WEIGHT.tobytes()[:7])
    with pytest.raises(CorruptModel):
        open_bundle(saved(folder / "m.onnx", product("weight.bin")))


def test_a_sparse_weight_outside_is_refused(folder):
    """onnxruntime would open its path by itself."""
    values = outside("weight", "../secret.bin")
    values.dims[:] = [4]
    indices = helper.make_tensor("indices", TensorProto.INT64, [4], [0, 1, 2, 3])
    model = product("weight.bin")
    del model.graph.initializer[:]
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2, 2]))
    with pytest.raises(UnsafeModel, match="sparse"):
        open_bundle(saved(folder / "m.onnx", model))


def places():
    """Every place of a model that can hold a tensor kept outside."""
    hidden = outside("w", "hidden.bin")
    inner = helper.make_graph([], "inner", [], [value("w", "float", [2, 2])], [hidden])
    inputs, outputs = [value("x", "float", ["rows"])], [value("y", "float", ["rows"])]
    constant = helper.make_node("Constant", [], ["c"], value=hidden)
    branch = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    yield "attribute", graph([constant], inputs, outputs)
    yield "subgraph", graph([branch], inputs, outputs)
    function = helper.make_function("d", "f", ["x"], ["y"], [constant], [helper.make_opsetid("", 20)])
    model = graph([helper.make_node("f", ["x"], ["y"], domain="d")], inputs, outputs)
    model.functions.append(function)
    yield "function", model
    model = graph([helper.make_node("Identity", ["x"], ["y"])], inputs, outputs)
    model.training_info.append(onnx.TrainingInfoProto(initialization=inner))
    yield "training", model


@pytest.mark.parametrize(("where", "model"), list(places()), ids=[where for where, _ in places()])
def test_no_place_of_a_model_hides_one(where, model):
    assert locations(model.SerializeToString()) == ("hidden.bin",)


def test_of_two_values_for_a_key_the_last_counts_as_parsers_have_it():
    """A reader that took the first would check one path while onnxruntime opens the other."""
    tensor = outside("weight", "first.bin")
    twice = tensor.external_data[0].SerializeToString() + put(2, "../secret.bin")
    raw = put(5, put(8, "weight") + put(13, twice))
    assert locations(put(1, 10) + put(7, raw)) == ("../secret.bin",)
