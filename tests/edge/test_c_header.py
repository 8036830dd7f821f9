"""Trees as a header in C answer as onnxruntime does: the same labels, and scores within rounding."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from xgboost import XGBClassifier

import servable
from servable.bundles.load import Predictor, load
from servable.edge.c_header import HEADER, in_c, table_bytes, write
from servable.edge.cases import bodies
from servable.edge.edition import edition_of
from servable.edge.export import export
from servable.edge.served import answers
from servable.edge.trees import trees
from servable.errors import CheckFailed, ModelFailed, Unsupported

MODELS: dict[str, tuple[Callable[[], Any], Callable[..., Any]]] = {
    "two classes, one score": (lambda: GradientBoostingClassifier(n_estimators=8, random_state=0), load_breast_cancer),
    "three classes, gaps": (lambda: HistGradientBoostingClassifier(max_iter=5), load_wine),
    "shares of trees": (lambda: RandomForestClassifier(6, random_state=0), load_wine),
    "a number, averaged": (lambda: RandomForestRegressor(4, max_depth=6, random_state=0), load_diabetes),
    "XGBoost": (lambda: XGBClassifier(n_estimators=6, max_depth=4), load_breast_cancer),
    "LightGBM": (lambda: LGBMClassifier(n_estimators=6, verbose=-1), load_wine),
    "a number, gaps": (lambda: HistGradientBoostingRegressor(max_iter=6), load_diabetes),
}


def packed(make: Callable[[], Any], data: Callable[..., Any], place: Path) -> Path:
    """A bundle, with gaps among the rows where the model takes any."""
    frame, target = data(as_frame=True, return_X_y=True)
    model = make()
    if isinstance(model, (HistGradientBoostingClassifier, HistGradientBoostingRegressor)):
        frame = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.1)
    model.fit(frame, target)
    servable.pack(model, name="trees", sample=frame.assign(label=target), label="label", output=place / "bundle")
    return place / "bundle"


@pytest.mark.parametrize("kind", MODELS)
def test_the_header_answers_as_the_server(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servable.edge.cases.MOST_ALONE", 100)
    with load(packed(*MODELS[kind], tmp_path)) as predictor:
        made = export(predictor, "1", tmp_path / "c", target="c")
    (device,) = made.devices
    assert made.proven
    assert device.answered > 100
    assert max(device.largest.values()) <= 1e-4
    assert made.bytes["its tables"] < made.bytes["the header"]


def test_several_numbers_a_row_are_told_as_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servable.edge.cases.MOST_ALONE", 100)
    frame, target = load_diabetes(as_frame=True, return_X_y=True)
    model = RandomForestRegressor(4, max_depth=5, random_state=0).fit(frame, np.column_stack([target, -target, target]))
    servable.pack(model, name="three", sample=frame, output=tmp_path / "bundle")
    with load(tmp_path / "bundle") as predictor:
        made = export(predictor, "1", tmp_path / "c", target="c")
    assert made.proven
    assert "#define MODEL_SCORES 3" in (tmp_path / "c" / "model.h").read_text()


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(*MODELS["three classes, gaps"], tmp_path_factory.mktemp("forest"))


def test_it_is_one_function_for_a_program(forest: Path, tmp_path: Path) -> None:
    row = load_wine(as_frame=True, return_X_y=True)[0].iloc[[100]]
    with load(forest) as predictor:
        write(edition_of(predictor.bundle, "1"), tmp_path, frozenset())
        want = predictor.predict(row)
    features = ", ".join(f"{value}f" for value in np.float32(row.to_numpy()[0]))
    (tmp_path / "main.cc").write_text(
        f'#include <stdio.h>\n#include "{HEADER}"\nint main() {{ float row[MODEL_FEATURES] = {{{features}}}, '
        'scores[MODEL_SCORES]; printf("%s", MODEL_LABELS[model_predict(row, scores)]); }\n'
    )
    subprocess.run(["c++", "-Wall", "-Werror", "main.cc", "-o", "main"], cwd=tmp_path, check=True)
    assert subprocess.check_output([tmp_path / "main"], text=True) == str(want["label"].iloc[0])


def test_a_header_that_answers_otherwise_is_seen(forest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servable.edge.cases.MOST_ALONE", 10)
    real = trees

    def changed(model: bytes) -> Any:
        found = real(model)
        (target, weight), *rest = found.weights
        return msgspec.structs.replace(found, weights=((target, weight + 1), *rest))

    monkeypatch.setattr("servable.edge.c_header.trees", changed)
    with load(forest) as predictor, pytest.raises(CheckFailed, match="does not answer as the server does"):
        export(predictor, "1", tmp_path / "c", target="c")


def test_a_header_that_does_not_compile_is_told(forest: Path, tmp_path: Path) -> None:
    with load(forest) as predictor:
        write(edition_of(predictor.bundle, "1"), tmp_path, frozenset())
        asked = bodies(predictor.bundle, predictor.signature)[:1]
        assert in_c(tmp_path, asked).told[0]["rows"] == answers(predictor, "1", asked)[0]["rows"]
    (tmp_path / HEADER).write_text("nonsense")
    with pytest.raises(ModelFailed, match="does not compile"):
        in_c(tmp_path, asked)


def test_what_is_no_header_is_named(
    predictor: Predictor, forest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unsupported) as told:
        export(predictor, "1", tmp_path / "c", target="c")
    rules, inputs, graph = (each["what"] for each in told.value.detail["obstacles"])
    assert rules.startswith("it has rules (adult, rich")
    assert "a header takes one row of 32-bit floats" in inputs
    assert "it is more than trees (Cast, Concat" in graph
    line = LogisticRegression().fit(pd.DataFrame({"x": [0.0, 1.0]}), [0, 1])
    sample = pd.DataFrame({"x": [0.0, 1.0]})
    servable.pack(line, name="line", sample=sample, output=tmp_path / "line")
    with load(tmp_path / "line") as other, pytest.raises(Unsupported, match="LinearClassifier"):
        export(other, "1", tmp_path / "c", target="c")
    monkeypatch.setattr("servable.edge.c_header.MOST_BYTES", 100)
    with load(forest) as large:
        size = table_bytes(trees(edition_of(large.bundle, "1").model))
        with pytest.raises(Unsupported, match=rf"its tables take {size:,} bytes, and a header holds at most 100"):
            export(large, "1", tmp_path / "c", target="c")
