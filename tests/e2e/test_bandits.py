"""A bandit over HTTP: it chooses, is told rewards by the ids of its answers, and all of it can be replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sklearn.datasets import load_iris

from servable.domain.batch import Batch
from servable.online.event import Asked, Examples, array, batch_of
from servable.online.journal import read
from servable.online.learners import spec
from tests.e2e.serving import Serving
from tests.online.guarding import guarded_fold

X, KINDS = load_iris(return_X_y=True)
NAMES = ["setosa", "versicolor", "virginica"]
DESCRIPTION = {
    "learner": "epsilon-greedy",
    "inputs": {"x": "FP64 [-1, 4]"},
    "actions": NAMES,
    "options": {"epsilon": 0.2},
}


def body(rows: list[int], **more: Any) -> dict[str, Any]:
    x = X[rows]
    return {"inputs": [{"name": "x", "datatype": "FP64", "shape": list(x.shape), "data": x.ravel().tolist()}], **more}


def outputs(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {output["name"]: output["data"] for output in answer.json()["outputs"]}


def test_a_bandit_learns_from_rewards_and_its_choices_can_be_replayed(tmp_path: Path) -> None:
    path = tmp_path / "flowers.json"
    path.write_text(json.dumps(DESCRIPTION))
    order = np.random.default_rng(7).integers(0, len(X), 240).tolist()
    rewards: list[float] = []
    chosen: dict[str, tuple[str, float]] = {}
    with Serving(tmp_path, path, workers=2) as server:
        server.ready()
        url = f"http://{server.host}:{server.port}/v2/models/flowers"
        with httpx.Client(timeout=30) as http:
            for place in range(0, len(order), 4):
                rows = order[place : place + 4]
                found = outputs(http.post(f"{url}/infer", json=body(rows, id=f"visit {place}")))
                told = []
                for at, row in enumerate(rows):
                    key, action = f"visit {place}/{at}", found["action"][at]
                    assert found["propensity"][at] == found["propensities"][3 * at + NAMES.index(action)]
                    chosen[key] = action, found["propensity"][at]
                    rewards.append(float(action == NAMES[KINDS[row]]))
                    told.append({"id": key, "outcome": rewards[-1]})
                taught = http.post(f"{url}/feedback?wait=applied", json={"outcomes": told})
                assert taught.json()["accepted"] == 4, taught.text
            same = [outputs(http.post(f"{url}/infer", json=body([0], id="again")))["action"] for _ in range(5)]
            asked = {"rows": [{"x": X[0].tolist(), "action": name} for name in NAMES]}
            judged = http.post(f"{url}/infer", json=asked).json()["rows"]
            direct = http.post(
                f"{url}/learn?wait=applied",
                json={"rows": [{"x": X[0].tolist(), "action": "setosa"}], "outcomes": [1.0], "id": "told"},
            )
            assert direct.status_code == 200, direct.text
            wrong = http.post(f"{url}/infer", json={"rows": [{"x": X[0].tolist(), "action": "tulip"}]})
            assert (wrong.status_code, "one of setosa, versicolor, virginica" in wrong.text) == (400, True)
    assert np.mean(rewards[-100:]) > 0.7
    assert len({tuple(one) for one in same}) == 1
    assert [one["action"] for one in judged] == NAMES
    assert np.argmax([one["reward"] for one in judged]) == 0

    folder = tmp_path / "home" / "online" / "flowers" / "1" / "journal"
    described = spec.read(path)
    fold = guarded_fold(lambda: spec.make(described, spec.signature_of(described)))
    examples = 0
    for entry in read(folder):
        event = entry.event
        if isinstance(event, Examples) and event.ids[0] in chosen:
            kept = batch_of(event.columns)
            told = list(zip(kept["action"].tolist(), kept["propensity"].tolist(), strict=True))
            assert told == [chosen[key] for key in event.ids]
            assert array(event.outcomes).tolist() == rewards[examples : examples + event.rows]
            asked = {**kept.columns, "action": np.full(event.rows, None, object)}
            again = fold.learner.predict(Batch(asked))
            assert [chosen[key] for key in event.ids] == list(
                zip(again["action"].tolist(), again["propensity"].tolist(), strict=True)
            )
            examples += event.rows
        elif isinstance(event, Asked):
            told = [key for key in batch_of(event.columns)["id"].tolist() if key == "again"]
            assert told == [key for key in event.ids if key == "again"]
        fold.apply(entry)
    assert examples == len(order)
