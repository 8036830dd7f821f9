"""What the tests of devices share: a model with texts, gaps and rules of every kind, its exports, and a publisher of
them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import servable
from servable.bundles.load import Predictor, load
from servable.edge import browser
from servable.edge.edition import edition_of
from servable.edge.export import export
from tests.edge.exported import Exported, ExportTo
from tests.edge.updating import Publisher, publishing

RULES = """
[[rules]]
name = "adult"
column = "age"
low = 18
action = "refuse"
reason = "we lend to adults only"

[[rules]]
name = "rich"
column = "income"
high = 9000.1
action = "clip"

[[rules]]
name = "known-city"
column = "city"
allowed = ["north", "south", "o'east"]

[[rules]]
name = "odd"
when = "income / age > 160.3 or lower(city) == 'south' and age > 80"
action = "answer"
answer = { prediction = 1.5 }

[[rules]]
name = "strange"
distance = "mahalanobis"
columns = ["income", "city", "kind"]
within = 0.9
action = "answer"
answer = { prediction = 2.5 }

[[rules]]
name = "cheap"
when = "output.prediction < 300"
action = "refuse"
severity = "error"

[[rules]]
name = "sure"
interval = "prediction"
widest = 10.0

[[rules]]
name = "with-kind"
column = "kind"
present = true
action = "clip"
to = "a"
"""


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder."""
    place = tmp_path_factory.mktemp("edge")
    random, count = np.random.default_rng(0), 120
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, count),
            "income": random.normal(3000, 800, count).round(2),
            "city": random.choice(["north", "south", "o'east"], count),
            "kind": random.choice(["a", "b"], count),
        }
    )
    frame.loc[::17, "income"] = np.nan
    price = frame.age * 10 + frame.income.fillna(3000) / 7 + (frame.city == "north") * 50
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    encoded = make_column_transformer(
        (numbers, ["age", "income"]), (OneHotEncoder(handle_unknown="ignore"), ["city", "kind"])
    )
    model = make_pipeline(encoded, Ridge()).fit(frame[:60], price[:60])
    (place / "rules.toml").write_text(RULES)
    labelled = frame.assign(price=price)
    servable.pack(
        model, name="loan", sample=labelled[:60], label="price", rules=place / "rules.toml",
        calibrate=labelled[60:], output=place / "bundle",
    )  # fmt: skip
    return place / "bundle"


@pytest.fixture(scope="session")
def predictor(packed: Path) -> Iterator[Predictor]:
    with load(packed) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def exported_to(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> ExportTo:
    """The model's export to a target, as version 3 and with the proof, made once: its folder and its report."""
    made: dict[str, Exported] = {}

    def export_to(target: str) -> Exported:
        if target not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("servable.edge.cases.MOST_ALONE", 150)
                folder = tmp_path_factory.mktemp("exported") / target
                made[target] = (folder, export(predictor, "3", folder, target=target))
        return made[target]

    return export_to


@pytest.fixture(scope="session")
def package(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a package for npm, which nobody asked anything yet."""
    folder = tmp_path_factory.mktemp("package")
    browser.write(edition_of(predictor.bundle, "3"), folder, frozenset())
    return folder


@pytest.fixture(scope="module")
def world(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    """A publisher whose server is up."""
    with publishing(predictor, tmp_path_factory.mktemp("published")) as publisher:
        yield publisher


@pytest.fixture
def publisher(world: Publisher) -> Publisher:
    """The same, with nothing published yet."""
    shutil.rmtree(world.updates, ignore_errors=True)
    return world
