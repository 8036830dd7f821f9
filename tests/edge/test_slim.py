"""What a model sheds: outputs that nobody asks for, and operators that are too new."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from xgboost import XGBClassifier

import servable
from servable.edge.slim import MOST_OPSET, slim
from servable.errors import IncompatibleModel

SPARE = np.ones((3, 4), np.float32)


def model(opset: int = 18, extra: str = "Exp") -> bytes:
    """x -> y = -x, and z that takes a weight and a branch that reads from around it."""
    value = helper.make_tensor_value_info
    inner = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["in"])], "then", [], [value("in", TensorProto.FLOAT, None)]
    )
    other = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["out"])], "else", [], [value("out", TensorProto.FLOAT, None)]
    )
    nodes = [
        helper.make_node("Neg", ["x"], ["y"]),
        helper.make_node("If", ["yes"], ["b"], then_branch=inner, else_branch=other),
        helper.make_node(extra, ["b"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["n", 3])],
        [value("y", TensorProto.FLOAT, ["n", 3]), value("z", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(SPARE, "weight"), numpy_helper.from_array(np.array(True), "yes")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9).SerializeToString()


def asked(data: bytes) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(data)
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": np.ones((2, 3), np.float32)}), strict=True))


def test_a_model_that_is_slim_stays_as_it_is() -> None:
    data = model()
    assert slim(data, ["y", "z"]) is data


def test_an_output_goes_with_all_that_only_it_needs() -> None:
    found = slim(model(), ["y"])
    assert list(asked(found)) == ["y"]
    graph = onnx.load_from_string(found).graph
    assert ([node.op_type for node in graph.node], list(graph.initializer)) == (["Neg"], [])


def test_what_a_branch_reads_from_around_it_stays() -> None:
    found = asked(slim(model(), ["z"]))
    np.testing.assert_array_equal(found["z"], asked(model())["z"])


def test_operators_that_are_too_new_become_older_ones() -> None:
    newest = onnx.defs.onnx_opset_version()
    assert newest > MOST_OPSET, "nothing is newer than what devices know: raise MOST_OPSET's test model"
    found = slim(model(newest), ["y", "z"])
    (opset,) = onnx.load_from_string(found).opset_import
    assert opset.version == MOST_OPSET
    np.testing.assert_array_equal(asked(found)["z"], asked(model())["z"])


def test_what_cannot_be_said_in_older_operators_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servable.edge.slim.MOST_OPSET", 13)
    with pytest.raises(IncompatibleModel, match="devices know up to 13"):
        slim(model(18, "Mish"), ["y", "z"])


@pytest.mark.parametrize("gaps", [False, True])
def test_trees_shed_what_changes_no_answer(gaps: bool) -> None:
    """With gaps in training the way of missing values is learned, and stays."""
    rows, target = load_breast_cancer(return_X_y=True)
    rows = rows.astype(np.float32)
    if gaps:
        rows[::3, ::2] = np.nan
    data = boosted(GradientBoostingClassifier, rows, target) if not gaps else boosted(XGBClassifier, rows, target)
    found = slim(data, ["label", "probabilities"])
    assert len(found) < (1.0001 if gaps else 0.85) * len(data)
    some = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, np.nan, rows) if gaps else rows
    for before, after in zip(*(answer(each, some.astype(np.float32)) for each in (data, found)), strict=True):
        np.testing.assert_array_equal(before, after)


def boosted(kind: type, rows: np.ndarray, target: np.ndarray) -> bytes:
    with TemporaryDirectory() as folder:
        bundle = servable.pack(
            kind(n_estimators=20, random_state=0).fit(rows, target), name="m", sample=rows, to="onnx", output=folder
        )
        return bundle.model_path.read_bytes()


def answer(data: bytes, rows: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(data)
    return list(session.run(["label", "probabilities"], {session.get_inputs()[0].name: rows}))
