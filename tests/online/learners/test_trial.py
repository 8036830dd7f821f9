"""A learner in Python is tried out as it is packed: what would be another after a restart, or never learn, is told."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import servable
from servable.domain.batch import Batch
from servable.domain.field import Field
from servable.domain.signature import Signature
from servable.errors import BundleError
from servable.online.learners.python_learner import PythonLearner
from servable.online.learners.python_runtime import PythonLearning, _signature
from servable.online.learners.trial import by_feature, examples, trial


class Mean(PythonLearner):
    inputs: ClassVar = {"x": "FP64"}

    def load(self, folder):
        self.total, self.count = 0.0, 0

    def predict(self, batch):
        return {"prediction": np.full(len(batch["x"]), self.total / max(self.count, 1))}

    def learn(self, batch, outcomes):
        self.total, self.count = self.total + float(outcomes.sum()), self.count + len(outcomes)


class Draws(Mean):
    def learn(self, batch, outcomes):
        super().learn(batch, outcomes + np.random.default_rng().normal())


class Asked(Mean):
    def predict(self, batch):
        self.count += 1
        return super().predict(batch)


class Forgets(Mean):
    def state(self):
        return {"total": self.total}


class Twice(Mean):
    def predict(self, batch):
        return {"prediction": np.zeros(2 * len(batch["x"]))}


class Raises(Mean):
    def learn(self, batch, outcomes):
        raise TypeError("no numbers, please")


class Mute(Mean):
    def predict(self, batch):
        return {"prediction": self.nothing}


class Unmade(Mean):
    def load(self, folder):
        raise ImportError("no such library")


class Unkept(Mean):
    def state(self):
        return lambda: self.total


class Misspelt(Mean):
    clases = (0, 1)


def tried(kind: type[PythonLearner], sample: Batch | None = None) -> None:
    signature = _signature(kind, Path("own.py"))

    def make() -> PythonLearning:
        learner = kind()
        learner.load(Path())
        return PythonLearning(learner, signature)

    trial(make, signature, kind.classes, sample)


def test_one_that_is_the_same_each_time_passes() -> None:
    tried(Mean)
    tried(Mean, Batch({"x": np.arange(3.0).reshape(3, 1), "other": np.arange(3.0)}))


def test_a_sample_of_numbers_goes_by_the_names_of_its_columns() -> None:
    class Wide(Mean):
        inputs: ClassVar = {"x": "FP64", "y": "FP64"}

        def predict(self, batch):
            assert batch["y"].tolist() == [5.0, 6.0][: len(batch["y"])]
            return super().predict(batch)

    stated = Signature((Field("input", "FP64", (-1, 2), features=("y", "x")),), ())
    sample = Batch({"input": np.array([[5.0, 1.0], [6.0, 2.0]])})
    tried(Wide, by_feature(sample, stated))


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Draws, "taught the same twice, it is not the same: give everything in it that draws at random its seed"),
        (Asked, "what it is asked changes what it learns"),
        (Forgets, "its state does not hold all that it has learned"),
        (Twice, "it answers 48 rows with 96 values of 'prediction'"),
        (Raises, r"it learns nothing of what its inputs allow, say {'x': 0\.\d+}: TypeError: no numbers, please"),
        (Mute, "it answers none of what its inputs allow, say .*: AttributeError: .* 'nothing'"),
        (Unmade, "it cannot be made: ImportError: no such library"),
        (Unkept, "its state cannot be kept, or not taken up again: .*lambda"),
        (Misspelt, "'own.py' declares 'clases', which means nothing: did you mean 'classes'"),
    ],
)
def test_what_would_not_be_is_told(kind: type[PythonLearner], told: str) -> None:
    with pytest.raises(BundleError, match=told):
        tried(kind)


def test_examples_are_what_the_contract_allows() -> None:
    signature = Signature(
        (
            Field("age", "INT32", low=18, high=99),
            Field("share", "FP32", (-1, 3), low=0.5),
            Field("below", "FP64", high=-5.0),
            Field("city", "BYTES", categories=("Oslo", "Rome")),
            Field("day", "BYTES", content="date"),
            Field("member", "BOOL"),
            Field("grade", "INT64", categories=(1, 5)),
        ),
        (),
    )
    rows = examples(signature, 200)
    assert signature.check(rows) == []
    assert {len(set(rows[name].ravel().tolist())) > 1 for name in rows.columns} == {True}


CODES = """
import servable


class Codes(servable.PythonLearner):
    inputs = {"code": "BYTES"}
    seen = 0

    def predict(self, batch):
        return {"prediction": [float(len(code) + self.seen) for code in batch["code"] if self.known(code)]}

    def learn(self, batch, outcomes):
        self.seen += sum(map(self.known, batch["code"]))

    def known(self, code):
        if code not in ("A1", "B2"):
            raise ValueError(f"no code {code}")
        return True
"""


def test_a_sample_says_what_rows_are_like(tmp_path: Path) -> None:
    (tmp_path / "codes.py").write_text(CODES)
    with pytest.raises(BundleError, match=r"'codes\.py': it answers none .* ValueError: no code"):
        servable.pack(tmp_path / "codes.py", output=tmp_path / "without", allow_unsafe=True)
    sample = pd.DataFrame({"code": ["A1", "B2"] * 5})
    bundle = servable.pack(tmp_path / "codes.py", output=tmp_path / "with", sample=sample, allow_unsafe=True)
    assert bundle.manifest.format == "python-learner"
