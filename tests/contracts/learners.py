"""Learners for the contract suite: of each kind one, with examples that it can learn."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris

from servable.domain.batch import Array, Batch
from servable.domain.field import Field
from servable.domain.model import Learner
from servable.domain.signature import Signature
from servable.online.learners.bandit import POLICIES, Bandit
from servable.online.learners.bandit import signature as bandit_signature
from servable.online.learners.ftrl import Ftrl
from servable.online.learners.labels import Labels
from servable.online.learners.linear import OUTPUT, Linear
from servable.online.learners.python_runtime import PythonLearning, _run, _signature

SOURCES = {
    "river": """
import servable
class Cancer(servable.RiverLearner):
    inputs = {"x": "FP64 [-1, 30]"}
    classes = (0, 1)
    def model(self):
        from river import linear_model, preprocessing
        return preprocessing.StandardScaler() | linear_model.LogisticRegression()
""",
    "river-tree": """
import servable
class Cancer(servable.RiverLearner):
    inputs = {"x": "FP64 [-1, 30]"}
    classes = (0, 1)
    def model(self):
        from river import forest
        return forest.ARFClassifier(n_models=3, seed=42)
""",
    "river-numbers": """
import servable
class Diabetes(servable.RiverLearner):
    inputs = {"x": "FP64 [-1, 10]"}
    def model(self):
        from river import linear_model, preprocessing
        return preprocessing.StandardScaler() | linear_model.LinearRegression()
""",
    "sklearn": """
import servable
class Cancer(servable.SklearnLearner):
    inputs = {"x": "FP64 [-1, 30]"}
    classes = (0, 1)
    def model(self):
        from sklearn.linear_model import SGDClassifier
        from sklearn.preprocessing import StandardScaler
        return [StandardScaler(), SGDClassifier(loss="log_loss", random_state=7)]
""",
    "torch": """
import servable
class Digits(servable.TorchLearner):
    inputs = {"x": "FP64 [-1, 64]"}
    classes = tuple(range(10))
    def model(self):
        from torch import nn
        return nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
    def optimiser(self, parameters):
        import torch
        return torch.optim.Adam(parameters, lr=0.003)
""",
}


class LearnerCase(NamedTuple):
    """How to make a fresh one, and what to teach it."""

    make: Callable[[], Learner]
    x: Array
    y: Array
    beside: Mapping[str, Array] = {}

    def batch(self, rows: slice) -> Batch:
        """Some of the examples."""
        return Batch({name: values[rows] for name, values in {"x": self.x, **self.beside}.items()})


def sourced(name: str) -> Learner:
    """The learner that a source describes."""
    kind = _run(SOURCES[name].encode(), Path(f"{name}.py"))
    learner = kind()
    learner.load(Path())
    return PythonLearning(learner, _signature(kind, Path(f"{name}.py")))


def ftrl(width: int, classes: list[int]) -> Learner:
    return Ftrl(Signature((Field("x", "FP64", (-1, width)),), Labels(classes).fields()), classes)


def linear() -> Learner:
    return Linear(Signature((Field("x", "FP64", (-1, 10)),), (OUTPUT,)))


def bandit(policy: str) -> LearnerCase:
    """Of an iris its kind, by rewards of 1 and 0: all kinds were named, at random."""
    x, kinds = load_iris(return_X_y=True)
    actions = ["setosa", "versicolor", "virginica"]
    context = (Field("x", "FP64", (-1, 4)),)
    named = np.random.default_rng(3).integers(0, 3, len(x))
    beside = {
        "action": np.array(actions, object)[named],
        "propensity": np.full(len(x), 1 / 3),
        "id": np.array([str(row) for row in range(len(x))], object),
    }
    make = functools.partial(Bandit, policy, bandit_signature(context, actions), actions)
    return LearnerCase(make, x, (named == kinds).astype(np.float64), beside)


def cases() -> dict[str, LearnerCase]:
    """Of every learner one."""
    cancer, diabetes, digits = (load(return_X_y=True) for load in (load_breast_cancer, load_diabetes, load_digits))
    few = digits[0][:300], digits[1][:300]
    return {
        "ftrl": LearnerCase(functools.partial(ftrl, 30, [0, 1]), *cancer),
        "ftrl of ten classes": LearnerCase(functools.partial(ftrl, 64, list(range(10))), *few),
        "linear": LearnerCase(linear, *diabetes),
        **{policy: bandit(policy) for policy in POLICIES},
        "river": LearnerCase(functools.partial(sourced, "river"), cancer[0][:200], cancer[1][:200]),
        "river-tree": LearnerCase(functools.partial(sourced, "river-tree"), cancer[0][:60], cancer[1][:60]),
        "river-numbers": LearnerCase(functools.partial(sourced, "river-numbers"), diabetes[0][:200], diabetes[1][:200]),
        "sklearn": LearnerCase(functools.partial(sourced, "sklearn"), cancer[0][:60], cancer[1][:60]),
        "torch": LearnerCase(functools.partial(sourced, "torch"), *few),
    }
