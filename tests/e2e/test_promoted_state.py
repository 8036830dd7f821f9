"""A state that a learner was in becomes a version: through the gate, then served frozen, in bulk, and on a device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer

import servable
from servable.domain.ref import Ref
from servable.registry.registry import Registry
from tests.cli.command import Ended
from tests.cli.command import servable as command
from tests.e2e.serving import Serving, eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
X, Y = load_breast_cancer(return_X_y=True)
INPUTS = ["radius", "texture", "perimeter", "area"]
CLASSES = ["malignant", "benign"]
TABLE = pd.DataFrame(X[:, : len(INPUTS)], columns=INPUTS).assign(diagnosis=[CLASSES[y] for y in Y])
TEST = TABLE[400:].reset_index(drop=True)


def test_a_past_state_passes_the_gate_and_answers_as_it_did(tmp_path: Path) -> None:
    described = {"learner": "ftrl", "inputs": dict.fromkeys(INPUTS, "FP64"), "classes": CLASSES}
    (tmp_path / "tumour.json").write_text(json.dumps(described))
    packed = servable.pack(
        tmp_path / "tumour.json", name="tumour", output=tmp_path / "bundle", checks=["accuracy>=0.8"]
    )
    registry = Registry(tmp_path / "home")
    registry.register(packed.folder)
    registry.promote(Ref.parse("tumour:1"), override_reason="it has learned nothing yet")
    TEST.assign(patient=range(len(TEST))).to_csv(tmp_path / "test.csv", index=False)

    def run(*words: object) -> Ended:
        return command(*words, "--home", tmp_path / "home")

    with (
        Serving(tmp_path, workers=1) as server,
        httpx.Client(base_url=f"http://{server.ready().host}:{server.port}/v2/models/tumour", timeout=30) as http,
    ):

        def learn(rows: pd.DataFrame, outcomes: list[str]) -> int:
            told = {"rows": rows[INPUTS].to_dict("records"), "outcomes": outcomes}
            answer = http.post("/learn?wait=applied", json=told).raise_for_status().json()
            return int(answer["offset"])

        def answers() -> Any:
            asked = {"rows": TEST[INPUTS].to_dict("records")}
            return http.post("/infer", json=asked).raise_for_status().json()

        offset = learn(TABLE[:300], TABLE.diagnosis[:300].tolist())
        good = answers()
        assert good["parameters"] == {"offset": offset}
        learn(TABLE[300:400], [CLASSES[y] for y in 1 - Y[300:400]])
        assert answers()["rows"] != good["rows"]

        # The state of before; nothing answers with it until it has met what is demanded of the learner.
        made = run("learning", "rebuild", "tumour:1", "--at", offset, "--frozen", "--json").json
        assert (made["made"], made["offset"]) == ("tumour:2", offset)
        refused = run("release", "promote", "tumour:2")
        assert (refused.code, "the gate has not been run on tumour:2" in refused.err) == (1, True)
        checked = run("check", "tumour:2", "--data", tmp_path / "test.csv", "--label", "diagnosis", "--json")
        assert (checked.code, checked.json["passed"]) == (0, True), checked
        assert run("release", "promote", "tumour:2").code == 0
        eventually(lambda: answers()["model_version"] == "2", "the server to follow")
        assert answers()["rows"] == good["rows"]
        again = http.post("/learn", json={"rows": TEST[INPUTS][:1].to_dict("records"), "outcomes": ["benign"]})
        assert (again.status_code, "does not learn" in again.text) == (501, True)

    words = ("--input", tmp_path / "test.csv", "--key", "patient", "--output", tmp_path / "answers")
    done = run("batch", "tumour:2", *words)
    assert done.code == 0, done.err
    table = (
        pq.read_table(tmp_path / "answers")
        .to_pandas()
        .sort_values("patient", key=lambda patients: patients.astype(int))
    )
    told = [row["probabilities"] for row in good["rows"]]
    live = [list(row.values()) if isinstance(row, dict) else row for row in told]
    np.testing.assert_array_equal(table[["probabilities_0", "probabilities_1"]], live)

    # A learner cannot go to a device, and says what can: as ONNX it goes through the same gate, and answers there.
    kept = run("export", "tumour:2", "--output", tmp_path / "page")
    assert (kept.code, "servable learning rebuild NAME --frozen --to onnx" in kept.err) == (1, True), kept.err
    made = run("learning", "rebuild", "tumour:1", "--at", offset, "--frozen", "--to", "onnx", "--json").json
    assert made["made"] == "tumour:3"
    checked = run("check", "tumour:3", "--data", tmp_path / "test.csv", "--label", "diagnosis", "--json")
    assert (checked.code, checked.json["passed"]) == (0, True), checked
    assert run("release", "promote", "tumour:3").code == 0
    with servable.load("tumour:3", home=str(tmp_path / "home")) as model:
        told = model.predict({name: TEST[name].to_numpy() for name in INPUTS})["probabilities"]
    np.testing.assert_allclose(told, live, rtol=1e-9, atol=1e-12)
    exported = run("export", "tumour:3", "--target", "browser", "--output", tmp_path / "page", "--json")
    assert exported.code == 0, exported.err
    assert exported.json["proven"] is True, exported.json
