"""`servable learning`: past states from a journal, without what a bad source sent; what a bandit earned, and others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris

import servable
from servable.domain.batch import Batch
from servable.online.event import Examples, column, columns, encode
from servable.online.journal import Journal, read
from servable.online.kept import answered
from servable.online.learners import spec
from servable.online.learners.bandit import Bandit
from servable.online.learners.ftrl import Ftrl
from servable.registry.registry import Registry
from tests.cli.command import Command

X, Y = load_breast_cancer(return_X_y=True)
FLOWERS, KINDS = load_iris(return_X_y=True)


def events(rows: slice, source: str, *, turned: bool = False) -> Examples:
    ids = tuple(str(row) for row in range(*rows.indices(len(X))))
    outcomes = 1 - Y[rows] if turned else Y[rows]
    return Examples(
        float(rows.start), source, ids, (0,) * len(ids), columns(Batch({"x": X[rows]})), column("", outcomes)
    )


@pytest.fixture
def tumours(command: Command, tmp_path: Path) -> Command:
    """A registered learner, and a journal in which an intern taught the opposite."""
    described = {"learner": "ftrl", "inputs": {"x": "FP64 [-1, 30]"}, "classes": [0, 1]}
    (tmp_path / "tumour.json").write_text(json.dumps(described))
    bundle = servable.pack(tmp_path / "tumour.json", name="tumour", output=tmp_path / "bundle")
    Registry(command.home).register(bundle.folder)
    journal = Journal(command.home / "online" / "tumour" / "1" / "journal")
    for start in range(0, 500, 10):
        intern = start % 50 == 40
        journal.append([events(slice(start, start + 10), "intern" if intern else "doctor", turned=intern)])
    journal.close()
    return command


def learned(path: Path, *parts: slice) -> list[float]:
    """What the learner answers that has learned these rows only."""
    described = spec.read(path)
    learner = spec.make(described, spec.signature_of(described))
    assert isinstance(learner, Ftrl)
    for rows in parts:
        learner.learn(Batch({"x": X[rows]}), Y[rows])
    return learner.predict(Batch({"x": X[500:]}))["probabilities"].ravel().tolist()


def test_a_past_state_is_a_version_again(tumours: Command, tmp_path: Path) -> None:
    told = tumours("learning", "rebuild", "tumour", "--at", "45", "--json").json
    assert (told["made"], told["offset"], told["learned"]) == ("tumour:2", 40, 40)
    with servable.load("tumour:2", home=str(tumours.home)) as model:
        answer = model.predict({"x": X[500:]})
    assert answer["probabilities"].ravel().tolist() == learned(tmp_path / "tumour.json", slice(0, 40))


def test_a_bad_source_is_left_out(tumours: Command, tmp_path: Path) -> None:
    output = tmp_path / "without"
    words = ("learning", "rebuild", "tumour", "--without", "intern", "--frozen", "--output", output, "--json")
    told = tumours(*words).json
    assert (told["made"], told["offset"], told["learned"]) == (str(output), 500, 400)
    with servable.load(output) as model:
        answer = model.predict({"x": X[500:]})
        assert model.bundle.manifest.options["frozen"] is True
        lineage = model.bundle.manifest.lineage
    written = b"".join(encode(entry.event) for entry in read(tumours.home / "online" / "tumour" / "1" / "journal"))
    assert (lineage["parent"], lineage["offset"], lineage["learned"]) == ("tumour:1", 500, 400)
    assert lineage["journal"] == f"sha256:{hashlib.sha256(written).hexdigest()}"
    parts = [slice(start, start + 40) for start in range(0, 500, 50)]
    assert answer["probabilities"].ravel().tolist() == learned(tmp_path / "tumour.json", *parts)


def test_what_was_learned_is_a_version_in_onnx(tumours: Command) -> None:
    words = ("learning", "rebuild", "tumour:1", "--without", "intern", "--frozen")
    tumours(*words)
    told = tumours(*words, "--to", "onnx", "--json").json
    assert (told["made"], told["offset"], told["learned"]) == ("tumour:3", 500, 400)
    answers = []
    for version in ("tumour:2", "tumour:3"):
        with servable.load(version, home=str(tumours.home)) as model:
            answers.append(model.predict({"x": X[500:]}))
            stated = model.bundle.manifest
    np.testing.assert_array_equal(answers[0]["label"], answers[1]["label"])
    np.testing.assert_allclose(answers[0]["probabilities"], answers[1]["probabilities"], rtol=1e-9, atol=1e-12)
    assert (stated.format, stated.options) == ("onnx", {})
    assert (stated.lineage["parent"], stated.lineage["offset"]) == ("tumour:1", 500)
    assert stated.lineage["proof"].startswith("equal on ")
    assert "expected --frozen" in tumours("learning", "rebuild", "tumour", "--to", "onnx", code=2).err


def test_what_does_not_learn_has_nothing_to_rebuild(tumours: Command, tmp_path: Path) -> None:
    tumours("learning", "rebuild", "tumour", "--frozen", "--to", "onnx", "--output", tmp_path / "plain")
    for verb in ("rebuild", "evaluate"):
        refused = tumours("learning", verb, tmp_path / "plain", code=1)
        assert "'tumour' is of the format onnx, which does not learn" in refused.err


def test_what_cannot_be_rebuilt_is_told(tumours: Command, tmp_path: Path) -> None:
    refused = tumours("learning", "rebuild", "tumour", "--without", "nobody", code=2)
    assert "examples came from 'doctor', 'intern'" in refused.err
    bare = tumours("learning", "rebuild", tmp_path / "tumour.json", code=2)
    assert "bare file, which has no versions" in bare.err
    tumours("learning", "rebuild", "tumour", "--at", "10")
    nothing = tumours("learning", "rebuild", "tumour:2", code=1).err
    assert "tumour:2 has learned nothing here: there is no journal in" in nothing
    assert "name one that has: tumour:1" in nothing
    assert "chooses no actions" in tumours("learning", "evaluate", "tumour", code=2).err


def test_a_bandit_is_told_what_others_would_have_earned(command: Command, tmp_path: Path) -> None:
    described = {
        "learner": "epsilon-greedy",
        "inputs": {"x": "FP64 [-1, 4]"},
        "actions": ["setosa", "versicolor", "virginica"],
        "options": {"epsilon": 0.5},
    }
    path, other = tmp_path / "flowers.json", tmp_path / "bolder.json"
    path.write_text(json.dumps(described))
    other.write_text(json.dumps({**described, "learner": "linucb", "options": {}}))
    learner = spec.make(spec.read(path), spec.signature_of(spec.read(path)))
    assert isinstance(learner, Bandit)
    journal = Journal(command.home / "online" / "flowers" / "1" / "journal")
    order = np.random.default_rng(5).integers(0, len(FLOWERS), 900)
    for place, row in enumerate(order.tolist()):
        none = np.array([None], object)
        asked = {"x": FLOWERS[row : row + 1], "action": none, "propensity": np.array([np.nan])}
        question = Batch({**asked, "id": np.array([str(place)], object)})
        kept = answered(question, learner.predict(question))
        reward = np.array([float(learner.actions[KINDS[row]] == kept["action"][0])])
        learner.learn(kept, reward)
        journal.append([Examples(float(place), "", (str(place),), (0,), columns(kept), column("", reward))])
    journal.close()
    told = command("learning", "evaluate", path, "--policy", other, "--json").json
    policies = {one["policy"]: one for one in told["policies"]}
    assert (told["examples"], told["left_out"]) == (900, 0)
    assert set(policies) == {
        "as it was", "any, by chance", "always setosa", "always versicolor", "always virginica",
        "itself, half taught", "bolder",
    }  # fmt: skip
    chance = policies["any, by chance"]
    for estimate in ("ips", "snips", "doubly_robust"):
        assert chance[estimate]["low"] < 1 / 3 < chance[estimate]["high"]
    assert policies["bolder"]["snips"]["low"] > policies["as it was"]["ips"]["high"]
    table = command("learning", "evaluate", path).out
    assert "always setosa" in table and "snips" in table
