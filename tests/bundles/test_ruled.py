"""Rules given to a bundle at packing and after: fitted to its data, kept in it, and answered by whoever loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import servable
from servable.bundles import manifest
from servable.bundles.open import open_bundle
from servable.bundles.ruled import read_rules, ruled
from servable.bundles.tables import to_batch
from servable.domain.bundle import MANIFEST, Bundle
from servable.errors import BundleError, DigestMismatch, NotFound, Refused, UsageError

DIABETES = load_diabetes(as_frame=True).frame
WINE = load_wine(as_frame=True).frame.sample(frac=1, random_state=0)
RULES = """
[[rules]]
name = "bmi-range"
column = "bmi"
low = -0.1
high = 0.12
action = "refuse"
reason = "we know nobody like that"

[[rules]]
name = "far"
distance = "isolation"
within = 0.95

[[rules]]
name = "wide"
interval = "prediction"
coverage = 0.9
widest = 1.0
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("packed")
    (folder / "rules.toml").write_text(RULES)
    model = Ridge().fit(DIABETES[:200].drop(columns="target"), DIABETES.target[:200])
    return servable.pack(
        model, name="diabetes", sample=DIABETES[:200], label="target", rules=folder / "rules.toml",
        calibrate=DIABETES[200:320], output=folder / "bundle",
    )  # fmt: skip


def test_a_packed_model_has_its_rules_and_its_intervals(packed: Bundle) -> None:
    assert [rule.name for rule in packed.manifest.rules] == ["bmi-range", "far", "wide"]
    assert packed.manifest.calibration == "calibration.json"
    with servable.load(packed.folder) as model:
        rows = DIABETES[320:].drop(columns="target")
        answers = model.predict(rows[rows.bmi < 0.1])
        assert list(answers.columns) == ["prediction", "prediction_interval_low", "prediction_interval_high"]
        assert answers.attrs["rule.wide"].startswith("flag rows 0-")
        outcomes = DIABETES.target[320:][rows.bmi < 0.1]
        covered = (answers.prediction_interval_low <= outcomes) & (outcomes <= answers.prediction_interval_high)
        assert covered.mean() > 0.8
        guarded = model.guarded(to_batch(rows[rows.bmi < 0.1], model.signature))
        assert [fired.rule.name for fired in guarded.fired][-1] == "wide"
        with pytest.raises(Refused, match="'bmi-range': we know nobody like that"):
            model.predict(rows.assign(bmi=5.0))
        lenient = model.guarded(to_batch(rows.assign(bmi=5.0), model.signature), lenient=True)
        assert len(lenient.refused) == len(rows)
        assert np.isnan(lenient.answer["prediction"]).all()


def test_packing_twice_gives_the_same_bundle(packed: Bundle, tmp_path: Path) -> None:
    plain = ruled(packed, (), tmp_path / "plain")
    assert plain.manifest.rules == ()
    assert plain.manifest.calibration is None
    assert not (plain.folder / "calibration.json").exists()
    again = ruled(plain, packed.manifest.rules, tmp_path / "again", calibrate=DIABETES[200:320], label="target")
    assert again.digest == packed.digest


def test_a_set_of_classes_comes_with_probabilities(tmp_path: Path) -> None:
    frame = WINE.assign(target=WINE.target.map({0: "barolo", 1: "grignolino", 2: "barbera"}))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        frame[:90].drop(columns="target"), frame.target[:90]
    )
    rule = {"name": "sure", "interval": "probabilities", "coverage": 0.9, "most": 1, "severity": "info"}
    bundle = servable.pack(
        model,
        name="wine",
        sample=frame[:90],
        label="target",
        rules=[rule],
        calibrate=frame[90:140],
        output=tmp_path / "w",
    )
    with servable.load(bundle.folder) as loaded:
        rows = frame[140:]
        guarded = loaded.guarded(to_batch(rows.drop(columns="target"), loaded.signature))
        names = list(loaded.signature.outputs[-1].features)
        assert sorted(names) == ["barbera", "barolo", "grignolino"]
        sets = guarded.answer["probabilities_set"]
        hit = sets[np.arange(len(rows)), [names.index(value) for value in rows.target]]
        assert hit.mean() >= 0.8
        unsure = np.flatnonzero(sets.sum(axis=1) != 1)
        assert (guarded.fired[0].rows.tolist() if guarded.fired else []) == unsure.tolist()


def test_rows_are_handed_over_to_another_model_of_fewer_columns(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SERVABLE_HOME", str(tmp_path / "home"))
    from servable.registry.registry import Registry

    registry = Registry(tmp_path / "home")
    train = DIABETES[:200]
    simple = Ridge().fit(train[["bmi", "age"]], train.target)
    registry.register(servable.pack(simple, name="simple", sample=train[["bmi", "age"]], output=tmp_path / "s").folder)
    whole = Ridge().fit(train.drop(columns="target"), train.target)
    rules = [{"name": "heavy", "when": "bmi > 0.05", "action": "fallback", "fallback": "simple"}]
    bundle = servable.pack(whole, name="whole", sample=train, label="target", rules=rules, output=tmp_path / "w")
    registry.register(bundle.folder)
    rows = DIABETES[200:].drop(columns="target")
    expected = np.where(rows.bmi > 0.05, simple.predict(rows[["bmi", "age"]]), whole.predict(rows))
    with servable.load("whole") as model:
        np.testing.assert_allclose(model.predict(rows).iloc[:, 0], expected, rtol=1e-4)
    with servable.load(bundle.folder, home=tmp_path / "elsewhere") as alone, pytest.raises(NotFound):
        alone.predict(rows)


WRONG = [
    ([{"name": "r", "column": "bmy", "low": 1}], "rule 'r': unknown column 'bmy': did you mean 'bmi'?"),
    ([{"name": "r", "distance": "mahalanobis", "columns": ["bmy"]}], "rule 'r': unknown column 'bmy'"),
    ([{"name": "r", "distance": "mahalanobis", "within": 0.9999}], "'within' 0.9999 takes a sample of"),
    ([{"name": "r", "interval": "prediction"}], "an interval takes rows that the model was not trained on"),
    ([{"name": "r", "interval": "predictoin"}], "rule 'r': unknown output 'predictoin': did you mean 'prediction'?"),
    ([{"name": "r", "colum": "bmi"}], "rules: Object contains unknown field `colum`"),
    ([{"name": "r", "column": "bmi", "low": 1, "action": "clop"}], "Invalid enum value 'clop'"),
]


@pytest.mark.parametrize(("rules", "told"), WRONG)
def test_what_cannot_hold_is_told_before_anything_is_written(
    packed: Bundle, rules: Any, told: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as error:
        ruled(packed, rules, tmp_path / "bundle")
    assert told in error.value.message
    assert not (tmp_path / "bundle").exists()


def test_calibration_takes_outcomes(packed: Bundle, tmp_path: Path) -> None:
    rules = packed.manifest.rules
    with pytest.raises(UsageError, match="name that column with label="):
        ruled(packed, rules, tmp_path / "b", calibrate=DIABETES[200:320])
    with pytest.raises(UsageError, match=r"'coverage' 0\.9 takes at least 9 calibration rows"):
        ruled(packed, rules, tmp_path / "b", calibrate=DIABETES[200:205], label="target")
    texts = DIABETES[200:320].assign(target="high")
    with pytest.raises(UsageError, match="the outcomes are no numbers"):
        ruled(packed, rules, tmp_path / "b", calibrate=texts, label="target")


def test_a_file_of_rules_says_where_it_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    for text, told in (
        ("[[rules]]\nname = 'r'\nwen = 'x'", "rules.toml, line 3: unknown key 'rules[0].wen': did you mean 'when'?"),
        ("[[rule]]\nname = 'r'", "rules.toml, line 1: unknown key 'rule': did you mean 'rules'?"),
        ("[[rules]", "rules.toml is not valid TOML"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError) as error:
            read_rules(path)
        assert told in error.value.message
    path.write_text(RULES)
    assert manifest.loads_rules(manifest.dumps_rules(read_rules(path)), "again") == read_rules(path)


def test_rules_edited_by_hand_are_told_of_when_the_bundle_is_opened(packed: Bundle, tmp_path: Path) -> None:
    bundle = ruled(packed, [{"name": "r", "column": "bmi", "low": 0}], tmp_path / "bundle")
    path = bundle.folder / MANIFEST
    text = path.read_text()
    path.write_text(text.replace('column = "bmi"', 'column = "bmj"'))
    with pytest.raises(BundleError, match="rule 'r': unknown column 'bmj': did you mean 'bmi'"):
        open_bundle(bundle.folder)
    path.write_text(text.replace("low = 0.0", "low = 0.1"))
    assert open_bundle(bundle.folder).manifest.rules[0].low == 0.1


def test_a_calibration_that_was_tampered_with_is_not_read(packed: Bundle, tmp_path: Path) -> None:
    bundle = ruled(packed, packed.manifest.rules[:2], tmp_path / "bundle")
    path = bundle.folder / "calibration.json"
    path.write_bytes(path.read_bytes().replace(b"held_out", b"held_aut"))
    with pytest.raises(DigestMismatch):
        open_bundle(bundle.folder)
