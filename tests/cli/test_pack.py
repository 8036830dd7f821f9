from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from servable.bundles.open import open_bundle
from tests.packed import scaler

TRAIN = pd.DataFrame(
    {
        "plan": np.array(["basic", "plus", "pro"])[np.arange(60) % 3],
        "months": np.arange(60, dtype=float),
        "left": np.where(np.arange(60) % 3 == 0, "yes", "no"),
    }
)


@pytest.fixture
def churn(tmp_path):
    """A pickled pipeline over mixed columns, and the rows it was trained on."""
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough"),
        GradientBoostingClassifier(n_estimators=5, random_state=0),
    ).fit(TRAIN.drop(columns="left"), TRAIN["left"])
    (tmp_path / "churn.pkl").write_bytes(pickle.dumps(model))
    TRAIN.to_csv(tmp_path / "train.csv", index=False)
    return tmp_path


def test_a_model_file_becomes_a_registered_version(command, tmp_path):
    told = command("pack", scaler(tmp_path / "double.onnx"), "--json").json
    assert (told["name"], told["version"], told["format"]) == ("double", "1", "onnx")
    again = command("pack", scaler(tmp_path / "double.onnx", factor=3), "--json").json
    assert again["version"] == "2"
    assert command("models", "verify", "double:1").out.startswith("passed")
    assert command("pack", scaler(tmp_path / "double.onnx"), "--name", "twice").out == "twice:1  (onnx)\n"


def test_output_is_a_bundle_that_need_not_be_registered(command, tmp_path):
    told = command(
        "pack", scaler(tmp_path / "double.onnx"), "--output", tmp_path / "out", "--no-register", "--json"
    ).json
    assert told["version"] is None
    assert open_bundle(tmp_path / "out").digest == told["digest"]
    assert not command.home.exists()


def test_a_bundle_that_would_lie_nowhere(command, tmp_path):
    told = command("pack", scaler(tmp_path / "double.onnx"), "--no-register", code=2)
    assert "--output DIR" in told.err


def test_a_pickle_is_opened_by_consent_and_converted_with_proof(command, churn):
    words = ("pack", churn / "churn.pkl", "--sample", churn / "train.csv", "--label", "left")
    refused = command(*words, code=1)
    assert "--allow-unsafe" in refused.err or "allow_unsafe" in refused.err
    told = command(*words, "--allow-unsafe", "--json").json
    assert (told["name"], told["version"], told["format"]) == ("churn", "1", "onnx")
    assert "equal on" in told["proof"]
    (churn / "new.csv").write_text("plan,months\nbasic,3\npro,4\n")
    answers = [json.loads(line) for line in command("predict", "churn", "--input", churn / "new.csv").out.splitlines()]
    assert [answer["label"] for answer in answers] == ["yes", "no"]


def test_what_cannot_be_packed_is_told(command, tmp_path):
    (tmp_path / "page.onnx").write_text("<!DOCTYPE html><title>404</title>")
    told = command("pack", tmp_path / "page.onnx", code=1)
    assert "HTML" in told.err
    assert not command.home.exists()
