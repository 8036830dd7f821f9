"""Real models on real data, packed once: what the tests of this folder check and probe."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import servable
from servable.bundles.open import open_bundle
from servable.checks.examples import Examples, examples_of
from servable.checks.subject import Subject
from servable.domain.bundle import Bundle
from servable.runtimes.find import runtime
from tests.bundles.real import pipeline, titanic


class Real(NamedTuple):
    """A bundle, rows that its model has not seen, and the column of the truth."""

    folder: Path
    kept: pd.DataFrame
    label: str

    @property
    def bundle(self) -> Bundle:
        return open_bundle(self.folder)

    @property
    def subject(self) -> Subject:
        """Loaded in this process."""
        bundle = self.bundle
        return Subject(f"{bundle.name}:1", bundle, runtime(bundle.manifest.format).load(bundle), 0.0)

    @property
    def examples(self) -> Examples:
        return examples_of(self.kept, self.bundle.signature, self.label)


@cache
def _folder() -> Path:
    place = tempfile.TemporaryDirectory(prefix="servable-checks-")
    _kept.append(place)
    return Path(place.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


def packed(name: str, model, table: pd.DataFrame, truth: pd.Series, label: str) -> Real:
    """Fit on three quarters, pack, keep the rest."""
    seen, kept, y_seen, y_kept = train_test_split(table, truth, random_state=0)
    sample = seen.assign(**{label: y_seen})
    folder = _folder() / name
    model.fit(seen, y_seen)
    servable.pack(model, name=name.partition("-")[0], sample=sample, label=label, output=folder)
    return Real(folder, kept.assign(**{label: y_kept}).reset_index(drop=True), label)


@cache
def cancer(trees: int = 60, depth: int = 3) -> Real:
    """Biopsies: 30 numbers, two classes. Fewer and shallower trees are worse."""
    data = load_breast_cancer(as_frame=True)
    truth = data.target.map(dict(enumerate(data.target_names)))
    model = GradientBoostingClassifier(n_estimators=trees, max_depth=depth, random_state=0)
    real = packed(f"cancer-{trees}-{depth}", model, data.data, truth, "diagnosis")
    hospitals = pd.Series(["north", "south", "east"]).sample(len(real.kept), replace=True, random_state=1)
    return Real(real.folder, real.kept.assign(hospital=hospitals.to_numpy()), real.label)


@cache
def passengers() -> Real:
    """The Titanic: numbers, texts, missing values, two classes."""
    table, truth = titanic()
    model = pipeline(LogisticRegression(max_iter=500), ["Age", "SibSp", "Parch", "Fare"], ["Sex", "Embarked"])
    columns = ["Age", "SibSp", "Parch", "Fare", "Sex", "Embarked"]
    real = packed("passengers", model, table[columns], truth, "survived")
    # The class that they travelled in is known of all, and not told to the model.
    return Real(real.folder, table.assign(survived=truth)[[*columns, "Pclass", "survived"]], real.label)


@cache
def diabetes() -> Real:
    """Ten numbers, and one to be told."""
    data = load_diabetes(as_frame=True)
    model = GradientBoostingRegressor(n_estimators=40, random_state=0)
    return packed("diabetes", model, data.data, data.target, "progression")


@cache
def flowers() -> Real:
    """Three classes."""
    data = load_iris(as_frame=True)
    truth = data.target.map(dict(enumerate(data.target_names)))
    return packed("flowers", LogisticRegression(max_iter=500), data.data, truth, "species")
