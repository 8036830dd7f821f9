"""Lineage, and what depends on nothing else: the same model, data and code give the same bundle."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import servable
from servable.bundles.lineage import code_revision, data_digest, parameters_of
from servable.bundles.sample import read_sample

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": ["x", None, "y", "x"], "y": [0.0, 1.0, 2.0, 3.0]})

TWICE = """
import sys, numpy as np, pandas as pd, servable
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
rng = np.random.default_rng(3)
frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300)})
label = pd.Series(np.where(frame["a"] + frame["b"] > 0, "yes", "no"), name="left")
sample = frame.assign(left=label)
for model, to in ((LogisticRegression(), "onnx"), (RandomForestClassifier(5, random_state=0), "keep")):
    model.fit(frame, label)
    print(servable.pack(model, name="m", sample=sample, label="left", to=to, output=sys.argv[1] + to).digest)
"""


def test_the_same_in_gives_the_same_out_in_every_folder_and_process(tmp_path):
    said = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environ = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", TWICE, f"{folder}/"]
        said.append(subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=True).stdout)
    assert said[0] == said[1]
    assert len(set(said[0].split())) == 2


def test_what_is_known_of_a_model_is_written_down(tmp_path):
    rows = FRAME[["a"]]
    model = make_pipeline(StandardScaler(), Ridge(alpha=0.5)).fit(rows, FRAME["y"])
    bundle = servable.pack(
        model, name="m", sample=FRAME[["a", "y"]], label="y", parent="m:1 abc", output=tmp_path / "b"
    )
    lineage = bundle.manifest.lineage
    assert (lineage["parent"], lineage["rows"], lineage["servable"]) == ("m:1 abc", 4, servable.__version__)
    assert lineage["parameters"]["ridge__alpha"] == 0.5
    assert "standardscaler" not in lineage["parameters"]
    assert lineage["data"].startswith("sha256:")


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "rows.csv"
    FRAME.to_csv(path, index=False)
    assert data_digest(path, read_sample(path)) == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.rename(columns={"a": "c"}),
        lambda frame: frame.assign(a=frame["a"].astype("float32")),
        lambda frame: frame.assign(b=["x", None, "y", "z"]),
        lambda frame: frame.assign(y=[0.0, 1.0, 2.0, 4.0]),
        lambda frame: frame.iloc[:3],
    ],
)
def test_other_data_have_another_digest(change):
    first = data_digest(FRAME, read_sample(FRAME, "y"))
    assert first == data_digest(FRAME, read_sample(FRAME.copy(), "y"))
    changed = change(FRAME)
    assert data_digest(changed, read_sample(changed, "y")) != first


def test_a_revision_says_whether_files_differ_from_it(tmp_path):
    assert code_revision(tmp_path) == ""

    def git(*words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    assert code_revision(tmp_path) == ""
    (tmp_path / "train.py").write_text("1")
    git("add", "train.py")
    git("commit", "-qm", "first")
    (tmp_path / "below").mkdir()
    assert code_revision(tmp_path / "below") == git("rev-parse", "HEAD")
    (tmp_path / "train.py").write_text("2")
    assert code_revision(tmp_path) == f"{git('rev-parse', 'HEAD')}+changes"


def test_parameters_are_the_same_text_in_every_process():
    found = parameters_of(FunctionTransformer(func=lambda x: x, kw_args={"o": object()}, inverse_func=np.log))
    assert found["func"] == "<lambda>"
    assert found["kw_args"] == "dict"
    assert found["inverse_func"] == "log"
    assert parameters_of("model.onnx") == {}
