"""A learner in Python is shown what it declares, in the order that it declares it, whatever a request has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from servable.domain.batch import Batch
from servable.online.learners.python_runtime import PythonLearning, _run, _signature

SOURCE = """
import servable


class Sides(servable.SklearnLearner):
    inputs = {"wide": "FP64", "high": "FP64"}
    classes = (0, 1)

    def model(self):
        from sklearn.linear_model import SGDClassifier

        return [SGDClassifier(loss="log_loss", random_state=7)]
"""


def sides() -> PythonLearning:
    kind = _run(SOURCE.encode(), Path("sides.py"))
    made = kind()
    made.load(Path())
    return PythonLearning(made, _signature(kind, Path("sides.py")))


def test_inputs_in_another_order_are_the_same_inputs() -> None:
    random = np.random.default_rng(1)
    wide, high = random.normal(size=(2, 200))
    y = (wide > high).astype(np.int64)
    declared, turned = Batch({"wide": wide, "high": high}), Batch({"high": high, "wide": wide})
    one, other = sides(), sides()
    one.learn(declared, y)
    other.learn(turned, y)
    assert one.snapshot() == other.snapshot()
    np.testing.assert_array_equal(one.predict(declared)["probabilities"], one.predict(turned)["probabilities"])
    assert (one.predict(turned)["label"] == y).mean() > 0.9
