"""River's own figures, to the digit: its bundled streams, test then train, with and without the guards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import datasets, linear_model, naive_bayes, preprocessing, tree

from servable.domain.batch import Batch
from servable.online.guards.guarded import Guarded
from servable.online.learners.python_runtime import PythonLearning, _signature
from servable.online.learners.river import RiverLearner


def learner(make: Callable[[], Any]) -> PythonLearning:
    class Phishing(RiverLearner):
        inputs = {"x": "FP64 [-1, 9]"}  # noqa: RUF012 - as its users write it
        classes = (0, 1)

        def model(self) -> Any:
            return make()

    found = Phishing()
    found.load(Path())
    return PythonLearning(found, _signature(Phishing, Path()))


@pytest.mark.parametrize(
    ("make", "accuracy"),
    [
        (lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(), 0.8928),
        (linear_model.LogisticRegression, 0.7304),
        (naive_bayes.GaussianNB, 0.8840),
        (tree.HoeffdingTreeClassifier, 0.8792),
        (lambda: preprocessing.StandardScaler() | linear_model.ALMAClassifier(), 0.8256),
    ],
    ids=["scaled regression", "regression", "naive Bayes", "Hoeffding tree", "ALMA"],
)
def test_phishing_is_what_river_measures_and_the_guards_change_nothing(
    make: Callable[[], Any], accuracy: float
) -> None:
    guarded = Guarded(learner(make), learner(make))
    for x, y in datasets.Phishing():
        guarded.learn(Batch({"x": np.array([list(x.values())], np.float64)}), np.array([int(y)]))
    told = guarded.scores.report()["all"]
    assert told["accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert 1.0 - told["no_change_loss"] == pytest.approx(0.5152, abs=1e-9)
    assert (guarded.tally.falls, guarded.undone) == (0, {})


def test_a_nan_kills_a_model_of_river_without_a_word_and_is_kept_from_it() -> None:
    """What the guards are for: the model takes it, and never answers a number again."""
    alone = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    rows = [(list(x.values()), int(y)) for x, y in datasets.Phishing()][:300]
    for x, y in rows:
        alone.learn_one({str(place): value for place, value in enumerate(x)}, y)
    alone.learn_one({str(place): np.nan for place in range(9)}, 1)
    assert np.isnan(alone.predict_proba_one({str(place): 0.5 for place in range(9)})[True])

    def scaled() -> PythonLearning:
        return learner(lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression())

    guarded = Guarded(scaled(), scaled())
    for x, y in rows:
        guarded.learn(Batch({"x": np.array([x])}), np.array([y]))
    guarded.learn(Batch({"x": np.full((1, 9), np.nan)}), np.array([1]))
    for x, y in rows * 2:
        guarded.learn(Batch({"x": np.array([x])}), np.array([y]))
    assert sum(guarded.undone.values()) == 1
    assert np.isfinite(guarded.predict(Batch({"x": np.array([rows[0][0]])}))["probabilities"]).all()
