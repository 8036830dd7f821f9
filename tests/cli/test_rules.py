"""`servable rules`: from what the training data suggests to a version that serves by it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

import servable
from servable.bundles.ruled import read_rules
from servable.domain.ref import Ref
from servable.registry.registry import Registry
from tests.cli.command import Command
from tests.packed import bundle_at, scaler

FRAME = load_diabetes(as_frame=True).data[["age", "bmi", "bp"]]


@pytest.fixture
def registered(command: Command, tmp_path: Path) -> Command:
    model = Ridge().fit(FRAME[:300], load_diabetes().target[:300])
    bundle = servable.pack(model, name="diabetes", sample=FRAME[:300], output=tmp_path / "bundle")
    Registry(command.home).register(bundle.folder)
    return command


def test_suggested_rules_are_tried_and_given_to_the_next_version(registered: Command, tmp_path: Path) -> None:
    rules, rows = tmp_path / "rules.toml", tmp_path / "rows.csv"
    rules.write_text(registered("rules", "suggest", "diabetes").out)
    assert [rule.name for rule in read_rules(rules)] == ["age-range", "bmi-range", "bp-range", "near-training-data"]
    pd.concat([FRAME[300:], FRAME[:1].assign(bmi=9.0)]).to_csv(rows, index=False)

    told = registered("rules", "test", "diabetes", "--input", rows, "--rules", rules, "--json").json
    by_name = {rule["rule"]: rule for rule in told["rules"]}
    assert told["rows"] == len(FRAME) - 300 + 1
    assert len(FRAME) - 300 in by_name["bmi-range"]["first"]
    assert registered("rules", "test", "diabetes", "--input", rows, "--json").json["rules"] == []

    edited = rules.read_text().replace('name = "bmi-range"', 'name = "bmi-range"\naction = "refuse"')
    rules.write_text(edited)
    assert registered("rules", "apply", "diabetes", "--rules", rules).out == "diabetes:2  (4 rules)\n"
    table = registered("rules", "test", "diabetes", "--input", rows)
    assert table.out.splitlines()[0].split("\t") == ["rule", "action", "rows", "share", "first"]
    assert "rules fired" in table.err
    refused = registered("predict", "diabetes", "--input", rows, code=1)
    assert "rule 'bmi-range': bmi was between" in refused.err
    assert "9 (row 142)" in refused.err
    FRAME[:3].assign(bp=9.0).to_csv(rows, index=False)
    flagged = registered("predict", "diabetes", "--input", rows)
    assert len(flagged.out.splitlines()) == 3
    assert "rule.bp-range: flag rows 0-2: bp was between" in flagged.err


def test_rules_come_with_packing(command: Command, tmp_path: Path) -> None:
    model, rules = scaler(tmp_path / "scaler.onnx"), tmp_path / "rules.toml"
    rules.write_text('[[rules]]\nname = "thin"\ncolumn = "x[2]"\nlow = 0\n')
    told = command("pack", model, "--rules", rules, code=2)
    assert "rule 'thin': unknown column 'x[2]': did you mean 'x[1]'?" in told.err
    rules.write_text('[[rules]]\nname = "thin"\ncolumn = "x[1]"\nlow = 0\n')
    assert command("pack", model, "--rules", rules).out == "scaler:1  (onnx)\n"
    assert [rule.name for rule in Registry(command.home).open(Ref("scaler"))[1].manifest.rules] == ["thin"]


def test_what_was_packed_without_a_sample_suggests_nothing(command: Command, tmp_path: Path) -> None:
    bundle = bundle_at(tmp_path / "scaler")
    assert "packed without a sample" in command("rules", "suggest", bundle, code=2).err
