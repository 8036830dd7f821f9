"""Rows of trees in an order of their own: every number stays what it was, and other models are left alone."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from servable.bundles.open import open_bundle
from servable.domain.batch import Batch
from servable.errors import ModelFailed
from servable.runtimes import onnx_trees
from servable.runtimes.find import runtime
from servable.runtimes.onnx import session_options
from tests.runtimes.graphs import saved

pytestmark = pytest.mark.filterwarnings("default")

ROWS = 3 * onnx_trees.LEAST_ROWS + 1
KINDS = {
    "forest": RandomForestClassifier(12, random_state=0),
    "boosted": GradientBoostingClassifier(n_estimators=6, random_state=0),
    "histogram": HistGradientBoostingClassifier(max_iter=2, random_state=0),
    "one tree": DecisionTreeClassifier(random_state=0),
    "numbers": ExtraTreesRegressor(9, random_state=0),
}


def converted(model, load=load_iris):
    data, target = load(return_X_y=True)
    classes = hasattr(model, "predict_proba")
    model.fit(data, np.array([f"kind {one}" for one in target]) if classes else target)
    options = {id(model): {"zipmap": False}} if classes else None
    return to_onnx(
        model, initial_types=[("x", FloatTensorType([None, data.shape[1]]))], options=options, target_opset=17
    ), data


def drawn(data):
    """Rows like those that the model knows, some without a value."""
    draw = np.random.default_rng(3)
    rows = data[draw.integers(0, len(data), ROWS)] * draw.normal(1, 0.1, (ROWS, data.shape[1]))
    rows[draw.random(rows.shape) < 0.01] = np.nan
    return rows.astype(np.float32)


def loaded(path):
    return runtime("onnx").load(open_bundle(path))


@pytest.mark.parametrize("name", KINDS)
def test_every_number_of_a_large_batch_is_that_of_onnxruntime_itself(name, tmp_path):
    model, data = converted(KINDS[name])
    path, rows = saved(tmp_path / "trees.onnx", model), drawn(data)
    asked = onnx_trees.questions(path.read_bytes())
    assert asked is not None
    assert np.any(onnx_trees.order(asked, Batch({"x": rows})) != np.arange(ROWS))
    found = loaded(path).predict(Batch({"x": rows}))
    session = onnxruntime.InferenceSession(path, session_options(1))
    for output, expected in zip(session.get_outputs(), session.run(None, {"x": rows}), strict=True):
        np.testing.assert_array_equal(found[output.name], expected)


def test_rows_of_the_same_answers_stand_together_and_keep_their_turn(tmp_path):
    model, data = converted(KINDS["forest"])
    asked = onnx_trees.questions(saved(tmp_path / "trees.onnx", model).read_bytes())
    rows = drawn(data)
    came_from = onnx_trees.order(asked, Batch({"x": rows}))
    assert sorted(came_from.tolist()) == list(range(ROWS))
    answers = [
        tuple(bool(row[at] <= limit) for at, limit in zip(asked.features, asked.limits, strict=True))
        for row in rows[came_from]
    ]
    assert answers == sorted(answers)
    last = {}
    for answer, row in zip(answers, came_from.tolist(), strict=True):
        assert last.get(answer, -1) < row
        last[answer] = row


def test_the_questions_are_those_that_most_trees_begin_with():
    model, _ = converted(KINDS["forest"])
    node = next(node for node in model.graph.node if node.op_type.startswith("TreeEnsemble"))
    told = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    roots = {
        (feature, limit)
        for number, feature, limit in zip(
            told["nodes_nodeids"], told["nodes_featureids"], told["nodes_values"], strict=True
        )
        if number == 0
    }
    asked = onnx_trees.questions(model.SerializeToString())
    assert set(zip(*asked, strict=True)) == roots
    many, _ = converted(RandomForestClassifier(30, random_state=0), load=load_digits)
    assert len(onnx_trees.questions(many.SerializeToString()).features) == onnx_trees.MOST


def test_numbers_that_are_cast_before_the_trees_are_asked_too():
    model, _ = converted(KINDS["forest"])
    plain = onnx_trees.questions(model.SerializeToString())
    first = next(node for node in model.graph.node if node.op_type.startswith("TreeEnsemble"))
    first.input[0] = "narrow"
    model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["narrow"], to=TensorProto.FLOAT))
    assert onnx_trees.questions(model.SerializeToString()) == plain


def test_a_model_that_is_more_than_trees_keeps_its_rows_as_they_come(tmp_path):
    for model in (LogisticRegression(max_iter=1000), make_pipeline(StandardScaler(), DecisionTreeClassifier())):
        other, data = converted(model)
        assert onnx_trees.questions(other.SerializeToString()) is None
    found = loaded(saved(tmp_path / "other.onnx", other)).predict(Batch({"x": drawn(data)}))
    assert found.rows == ROWS


def test_trees_that_a_file_tells_otherwise_are_left_alone():
    model, _ = converted(KINDS["one tree"])
    node = next(node for node in model.graph.node if node.op_type.startswith("TreeEnsemble"))
    values = next(attribute for attribute in node.attribute if attribute.name == "nodes_values")
    values.CopyFrom(onnx.AttributeProto(name="nodes_values_as_tensor"))
    assert onnx_trees.questions(model.SerializeToString()) is None


def test_what_are_no_rows_of_the_model_is_said_as_ever(tmp_path):
    model, data = converted(KINDS["forest"])
    trees = loaded(saved(tmp_path / "trees.onnx", model))
    for wrong in ({"x": drawn(data)[:, :1]}, {"x": drawn(data)[:, 0]}, {"x": drawn(data), "y": drawn(data)}):
        with pytest.raises(ModelFailed, match="onnxruntime"):
            trees.predict(Batch(wrong))
