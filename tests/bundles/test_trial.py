"""Broken native files: whatever they do to the library, this process lives and the error is one of ours."""

import json
import random
import subprocess
import sys

import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.datasets import load_iris
from xgboost import XGBClassifier

import servable
from servable.bundles import trial
from servable.bundles.open import open_bundle
from servable.errors import BundleError, CorruptModel, EnvironmentFault, ServableError
from servable.runtimes.find import runtime
from tests.e2e.serving import Serving

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS = load_iris(return_X_y=True)


def xgboost(path):
    XGBClassifier(n_estimators=3).fit(*IRIS).save_model(path.with_suffix(".ubj"))
    return path.with_suffix(".ubj")


def lightgbm(path):
    path.write_text(LGBMClassifier(n_estimators=3, verbose=-1).fit(*IRIS).booster_.model_to_string())
    return path


def catboost(path):
    CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False).fit(*IRIS).save_model(str(path))
    return path


@pytest.mark.timeout(240)
@pytest.mark.parametrize("make", [xgboost, lightgbm, catboost])
def test_a_flipped_bit_never_kills_this_process(make, tmp_path):
    path = make(tmp_path / "model")
    raw = path.read_bytes()
    rng = random.Random(1)
    for _ in range(3):
        at = rng.randrange(len(raw))
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :])
        try:
            bundle = open_bundle(path)
            runtime(bundle.manifest.format).load(bundle).predict(bundle.signature.example(2))
        except ServableError as error:
            assert "\n" not in error.message


def test_a_tree_that_leads_nowhere_is_corrupt(tmp_path):
    """A child beyond the tree's end: the library reads whatever lies there."""
    XGBClassifier(n_estimators=1).fit(*IRIS).save_model(tmp_path / "m.json")
    document = json.loads((tmp_path / "m.json").read_text())
    for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
        tree["left_children"][0] = tree["right_children"][0] = 2**30
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(BundleError):
        open_bundle(tmp_path / "m.json")
    with pytest.raises(BundleError):
        servable.pack(tmp_path / "m.json", output=tmp_path / "out")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_one_that_never_ends_is_given_up(tmp_path, monkeypatch):
    path = xgboost(tmp_path / "m")
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.01)
    with pytest.raises(CorruptModel, match="does not come to an end"):
        open_bundle(path)


def test_a_sound_file_passes(tmp_path):
    assert trial.survive(catboost(tmp_path / "m.cbm"), "catboost") is None


def test_what_passed_once_is_not_tried_again_until_it_changes(tmp_path, monkeypatch):
    path = xgboost(tmp_path / "m")
    assert open_bundle(path).manifest.format == "xgboost"
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.01)
    assert open_bundle(path).manifest.format == "xgboost"
    XGBClassifier(n_estimators=4).fit(*IRIS).save_model(path)
    with pytest.raises(CorruptModel, match="does not come to an end"):
        open_bundle(path)


def test_what_the_library_refuses_is_not_remembered(tmp_path):
    path = xgboost(tmp_path / "m")
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(BundleError):
        open_bundle(path)
    assert not list((tmp_path / "cache").rglob("*xgboost*"))


HOSTILE = """
import os, sys
from pathlib import Path
from servable.bundles import bare, trial
from servable.sandbox import walls

def opens(path, plugin):
    for attempt in (lambda: open("/etc/shadow"), os.fork, lambda: open(sys.argv[2], "w")):
        try:
            if attempt() == 0:
                os._exit(0)
            print("done")
        except PermissionError:
            pass
    print("opened", walls.entered())
    sys.exit(0)

bare.bare = opens
path = Path(sys.argv[1])
trial.main(path, walls.Walls("m", walls.of_model(path), sys.argv[3]))
"""


def test_what_a_file_would_do_it_does_behind_walls(tmp_path):
    """A file that takes its parser over can neither read, nor write, nor start anything."""
    path, scratch = xgboost(tmp_path / "m"), tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", HOSTILE, str(path), str(tmp_path / "written"), str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.returncode) == (["opened", "True"], 0), done.stderr
    assert not (tmp_path / "written").exists()


def test_without_the_walls_that_are_required_nothing_is_tried(tmp_path, monkeypatch):
    path = xgboost(tmp_path / "m")
    monkeypatch.setenv("SERVABLE_SANDBOX", "required")
    assert trial.survive(path, "xgboost") is None
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    (lacking / "sitecustomize.py").write_text("import platform\nplatform.machine = lambda: 'riscv64'\n")
    monkeypatch.setenv("PYTHONPATH", str(lacking))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    with pytest.raises(EnvironmentFault, match='sandbox = "required"'):
        trial.survive(path, "xgboost")


def test_a_process_with_walls_tries_nothing_in_another(tmp_path):
    """It could start none, and is there to die itself: a bare file is served in one, where all models have one."""
    path = xgboost(tmp_path / "m")
    with Serving(tmp_path, path, isolate="all") as serving:
        serving.ready()
        rows = {"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}]}
        name = serving.ask("GET", "/v2/models/m")[1]["inputs"][0]["name"]
        rows["inputs"][0]["name"] = name
        assert serving.ask("POST", "/v2/models/m/infer", rows)[0] == 200
