"""A bandit among versions of a model, over HTTP: one request chooses and answers, the reward teaches, and the journal
tells afterwards what other ways to choose would have earned.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import servable
from servable.domain.ref import Ref
from servable.registry.registry import Registry
from servable.release.acts import Acts
from servable.wire.generated import open_inference_pb2 as pb
from tests.cli.command import servable as command
from tests.e2e.serving import Serving, eventually

X, KINDS = load_iris(return_X_y=True)
X = X.astype(np.float32)
CHOICE = {
    "learner": "epsilon-greedy",
    "inputs": {"input": "FP32 [-1, 4]"},
    "actions": ["1", "2"],
    "options": {"epsilon": 0.2},
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two real versions of `flowers`, each good for a part of the inputs: one has never seen a virginica, the other no
    setosa. And a bandit that knows nothing yet.
    """
    registry = Registry(tmp_path / "home")
    for unseen in (2, 0):
        known = unseen != KINDS
        model = LogisticRegression(max_iter=1000).fit(X[known], KINDS[known])
        registry.register(servable.pack(model, name="flowers", sample=X, output=tmp_path / f"without-{unseen}").folder)
    (tmp_path / "choice.json").write_text(json.dumps(CHOICE))
    registry.register(servable.pack(tmp_path / "choice.json", name="choice", output=tmp_path / "choice").folder)
    registry.promote(Ref("flowers", "1"))
    return tmp_path / "home"


def test_one_request_chooses_and_answers_and_its_reward_teaches(tmp_path: Path, home: Path) -> None:
    order = np.random.default_rng(7).integers(0, len(X), 300).tolist()
    seen: list[tuple[int, str, float]] = []
    with Serving(tmp_path, Path("flowers"), workers=2) as server:
        server.ready().all_ready(2)
        Acts(Registry(home)).bandit("flowers", Ref("choice"))  # as the command does: the server follows
        door = f"http://{server.host}:{server.port}"

        def body(rows: list[int], **more: Any) -> dict[str, Any]:
            x = X[rows]
            tensor = {"name": "input", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
            return {"inputs": [tensor], **more}

        with httpx.Client(base_url=f"{door}/v2/models", timeout=30) as http:

            def ask(rows: list[int], **more: Any) -> dict[str, Any]:
                answer = http.post("/flowers/infer", json=body(rows, **more))
                assert answer.status_code == 200, answer.text
                told: dict[str, Any] = answer.json()
                return told

            eventually(lambda: all("arm" in ask([0]).get("parameters", {}) for _ in range(20)), "both doors to follow")
            for visit, row in enumerate(order):
                told = ask([row], id=f"visit {visit}")
                parameters = told["parameters"]
                assert (told["id"], told["model_name"]) == (f"visit {visit}", "flowers")
                assert told["model_version"] == parameters["arm"]
                assert parameters["chosen_by"] == "choice:1"
                reward = float(told["outputs"][0]["data"][0] == KINDS[row])
                seen.append((row, parameters["arm"], reward))
                outcomes = {"outcomes": [{"id": f"visit {visit}", "outcome": reward}]}
                taught = http.post("/flowers/feedback?wait=applied", json=outcomes).json()
                assert (taught["accepted"], taught["model_name"]) == (1, "choice"), taught
            many = ask(list(range(0, 150, 10)), id="many")
            assert set(many["parameters"]["arm"]) == {"1", "2"}
            assert len(many["parameters"]["propensity"]) == 15
            assert many["parameters"]["offset"] == len(order)
            report = http.get("/flowers/learning").json()
            assert (report["model_name"], report["learned"]) == ("choice", len(order))
            instances = http.post(f"{door}/v1/models/flowers:predict", json={"instances": X[:1].tolist()})
            assert instances.status_code == 200, instances.text
            assert instances.json()["model_version"] in {"1", "2"}
            assigned = http.get(f"{door}/metrics").text
            assert 'servable_route_assigned_total{model="flowers",version="2"}' in assigned
        with grpc.insecure_channel(server.grpc) as channel:
            infer = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=pb.ModelInferRequest.SerializeToString,
                response_deserializer=pb.ModelInferResponse.FromString,
            )
            asked = pb.ModelInferRequest(model_name="flowers", id="over gRPC")
            tensor = asked.inputs.add(name="input", datatype="FP32", shape=[1, 4])
            tensor.contents.fp32_contents.extend(X[140].tolist())
            told = infer(asked)
            assert told.model_version == told.parameters["arm"].string_param
            assert 0 < told.parameters["propensity"].double_param <= 1

    late = seen[150:]
    for kind, best in ((0, "1"), (2, "2")):
        arms = [arm for row, arm, _ in late if KINDS[row] == kind]
        assert np.mean([arm == best for arm in arms]) > 0.75, (kind, arms)
    either = [np.mean([reward for _, arm, reward in seen[:100] if arm == one]) for one in "12"]
    assert np.mean([reward for _, _, reward in late]) > max(either)

    found = command("learning", "evaluate", "choice", "--home", home, "--json").json
    worth = {one["policy"]: one["snips"]["estimate"] for one in found["policies"]}
    assert (found["examples"], found["left_out"]) == (len(order), 0)
    assert worth["as it was"] > max(worth["always 1"], worth["always 2"], worth["any, by chance"])
