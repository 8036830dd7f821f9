"""A network is fitted to a device: every variant runs, is measured beside the original and held against the gate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import servable
from servable.bundles.load import Predictor, load
from servable.domain.verdict import Verdict
from servable.edge.edition import edition_of
from servable.edge.fit import Fit, Measured, fitted
from servable.edge.policy import Limits
from servable.errors import CheckFailed, UsageError
from tests.cli.command import Command
from tests.cli.command import servable as command

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    data = load_digits(as_frame=True)
    return data.data.astype(np.float32).assign(digit=data.target)


@pytest.fixture(scope="module")
def digits(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    known = rows[:1200]
    model = MLPClassifier((48,), random_state=0, max_iter=200).fit(known.drop(columns="digit"), known.digit)
    rows[1200:].to_csv(folder / "new.csv", index=False)
    servable.pack(
        model, name="digits", sample=known, label="digit", checks=["accuracy>=0.88"], output=folder / "bundle"
    )
    return folder


@pytest.fixture
def predictor(digits: Path) -> Iterator[Predictor]:
    with load(digits / "bundle") as loaded:
        yield loaded


def measured(predictor: Predictor, fit: Fit) -> dict[str, Measured]:
    return {each.variant: each for each in fitted(edition_of(predictor.bundle, "1"), fit, lambda _: 1.0)[1]}


def test_every_variant_is_measured(predictor: Predictor) -> None:
    table = measured(predictor, Fit())
    assert list(table) == ["original", "optimised", "float16", "int8-weights", "int8", "int8-static"]
    whole = table["original"].bytes
    assert table["original"].loss == 0
    assert not any(each.fault for each in table.values())
    assert table["float16"].bytes < 0.7 * whole
    assert table["int8-weights"].bytes < 0.5 * whole
    assert table["int8"].bytes < 0.8 * whole
    assert 0 < table["float16"].loss < table["int8-weights"].loss < 0.2
    labels = {each.output: each.agreement for each in table["int8"].losses}
    assert labels["label"] is not None
    assert labels["label"] > 0.97
    assert all(0 < each.gzipped < each.bytes for each in table.values())


@pytest.mark.parametrize("name", ["float16", "int8-weights", "int8", "int8-static"])
def test_the_chosen_bytes_are_the_variant(predictor: Predictor, name: str) -> None:
    edition, (original, chosen) = fitted(edition_of(predictor.bundle, "1"), Fit(Limits(named=name)), lambda _: None)
    assert (edition.variant, chosen.reason, original.reason) == (name, "", f"{name} was asked for")
    assert len(edition.model) == chosen.bytes
    session = onnxruntime.InferenceSession(edition.model)
    assert [each.name for each in session.get_outputs()] == [field.name for field in predictor.signature.outputs]
    assert (edition.absolute > 1e-5) == name.startswith("int8") * (name != "int8-weights")
    assert edition.alone == (name == "int8")


def test_the_answer_to_a_row_does_not_depend_on_its_neighbours(predictor: Predictor) -> None:
    edition, _ = fitted(edition_of(predictor.bundle, "1"), Fit(Limits(named="int8")), lambda _: None)
    model = edition.opened()
    rows = predictor.signature.example(3)
    rows.columns[predictor.signature.inputs[0].name][1] = 16
    whole, alone = model.predict(rows), model.predict(rows.slice(0, 1))
    np.testing.assert_array_equal(whole["probabilities"][0], alone["probabilities"][0])
    model.close()


def test_a_variant_that_the_gate_refuses_is_not_chosen(predictor: Predictor) -> None:
    def judge(*_: object) -> list[Verdict]:
        return [Verdict("accuracy>=0.99", passed=False, reason="accuracy is 0.9", numbers={"value": 0.9})]

    with pytest.raises(CheckFailed, match=r"original: the gate refuses it: accuracy>=0.99: accuracy is 0.9;") as told:
        fitted(edition_of(predictor.bundle, "1"), Fit(judge=judge), lambda _: None)
    assert told.value.detail["table"][0]["metrics"] == {"accuracy>=0.99": 0.9}


def test_what_is_unknown_is_told(predictor: Predictor) -> None:
    edition = edition_of(predictor.bundle, "1")
    with pytest.raises(UsageError, match="no variant 'int4': expected one of original, optimised, float16"):
        fitted(edition, Fit(Limits(named="int4")), lambda _: None)
    stated = msgspec.structs.replace(predictor.bundle.manifest, golden=None, reference=None)
    bare = msgspec.structs.replace(predictor.bundle, manifest=stated)
    with pytest.raises(UsageError, match="holds no rows to measure its variants on"):
        fitted(msgspec.structs.replace(edition, bundle=bare), Fit(), lambda _: None)
    with pytest.raises(UsageError, match="the model has no output 'class': it has 'label', 'probabilities'"):
        edition_of(predictor.bundle, "1", ["class"])


@pytest.mark.faults
def test_the_command_proves_the_variant_it_chose(digits: Path, tmp_path: Path) -> None:
    told = command(
        "export", digits / "bundle", "--output", tmp_path / "web", "--max-loss", "0.1", "--keep", "probabilities",
        "--data", digits / "new.csv", "--label", "digit", "--json", "--home", tmp_path, "--variant", "int8",
    )  # fmt: skip
    assert told.code == 0, told
    made = json.loads(told.out)
    original, chosen = made["table"]
    assert (made["variant"], made["proven"], original["reason"]) == ("int8", True, "int8 was asked for")
    assert chosen["metrics"]["accuracy>=0.88"] > 0.88
    assert chosen["latency_ms"] > 0
    assert [each["output"] for each in chosen["losses"]] == ["probabilities"]
    assert made["absolute"] == pytest.approx(chosen["losses"][0]["largest"])
    contract = json.loads((tmp_path / "web" / "contract.json").read_text())
    assert [field["name"] for field in contract["outputs"]] == ["probabilities"]
    assert "<h2>Variants</h2>" in (tmp_path / "web" / "parity.html").read_text()


def test_a_loss_that_is_allowed_is_told(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = Command(tmp_path, capsys)(
        "export", digits / "bundle", "--output", tmp_path / "web", "--max-loss", "0.1", "--no-proof", "--data",
        digits / "new.csv",
    )  # fmt: skip
    heads, *lines = (line.split("\t") for line in ended.out.splitlines()[1:])
    assert heads[:5] == ["variant", "bytes", "gzipped", "p50, ms", "loss"]
    (chosen,) = [line for line in lines if line[-1] == "chosen"]
    assert (len(lines), chosen[0]) == (6, "int8-weights")
    assert "accuracy>=0.88 0.9" in chosen[-2]
    assert "int8-weights: loses 0.0" in ended.err
    page = (tmp_path / "web" / "parity.html").read_text()
    assert "<h2>Variants</h2>" in page
    assert "Variant: int8-weights, which loses 0.0" in page


def test_a_loss_is_never_taken_silently(digits: Path, tmp_path: Path) -> None:
    told = command(
        "export", digits / "bundle", "--output", tmp_path / "web", "--max-bytes", "9000", "--no-proof", "--data",
        digits / "new.csv", "--home", tmp_path,
    )  # fmt: skip
    assert told.code == 1
    assert "and no loss is allowed" in told.err
    assert "Allow more: --max-bytes, --max-latency, --max-loss" in told.err
    assert not (tmp_path / "web").exists()
    told = command("export", digits / "bundle", "--output", tmp_path, "--max-latency", "1", "--no-proof")
    assert told.code == 2
    assert "--max-latency is measured on the device" in told.err
