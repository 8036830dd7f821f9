"""A server whose model learns while it answers: over HTTP, with two doors, killed and started again."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from servable.domain.batch import Batch
from servable.online.fold import Fold
from servable.online.journal import read
from servable.online.learners import spec
from servable.online.snapshots import Snapshots
from tests.e2e.serving import Serving, eventually
from tests.online.guarding import guarded_fold

DESCRIPTION = """{"learner": "ftrl", "inputs": {"x": "FP64 [-1, 30]"}, "classes": ["malignant", "benign"]}"""
X, Y = load_breast_cancer(return_X_y=True)
NAMES = ["malignant", "benign"]


def body(rows: slice, **more: Any) -> dict[str, Any]:
    x = X[rows]
    return {"inputs": [{"name": "x", "datatype": "FP64", "shape": list(x.shape), "data": x.ravel().tolist()}], **more}


def labels(rows: slice) -> list[str]:
    return [NAMES[y] for y in Y[rows]]


class Learning:
    """The server, and one client of it."""

    def __init__(self, server: Serving, folder: Path) -> None:
        self.server = server
        self.folder = folder / "home" / "online" / "cancer" / "1"
        self.http = httpx.Client(base_url=f"http://{server.host}:{server.port}", timeout=30)

    def learn(self, rows: slice, wait: bool = False, **more: Any) -> httpx.Response:
        query = {"wait": "applied"} if wait else {}
        return self.http.post("/v2/models/cancer/learn", params=query, json=body(rows, outcomes=labels(rows), **more))

    def predict(self, rows: slice, **more: Any) -> dict[str, Any]:
        answer = self.http.post("/v2/models/cancer/infer", json=body(rows, **more))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def metrics(self) -> dict[str, float]:
        """What the page of metrics tells of learning: names without their common beginning."""
        begin = "servable_learning_"
        lines = self.http.get("/metrics").text.splitlines()
        told = [line.removeprefix(begin).rsplit(" ", 1) for line in lines if line.startswith(begin)]
        return {name: float(value) for name, value in told}

    def restarted(self, pid: int) -> None:
        """The learner's process is another, and its doors are with it again."""
        eventually(lambda: self.learner_pid() not in {0, pid})
        eventually(lambda: self.learn(slice(0, 1), id="known").status_code == 202)

    def learner_pid(self) -> int:
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
                except OSError:
                    continue
                if b"servable.online.process" in words and int(parent) == self.server.process.pid:
                    return int(process.name)
        return 0


@pytest.fixture
def learning(tmp_path: Path) -> Iterator[Learning]:
    model = tmp_path / "cancer.json"
    model.write_text(DESCRIPTION)
    with Serving(tmp_path, model, workers=2) as server:
        found = Learning(server.ready(), tmp_path)
        yield found
        found.http.close()


def folded(folder: Path) -> Fold:
    """The learner that the journal makes, undisturbed."""
    description = spec.read(folder.parents[3] / "cancer.json")
    fold = guarded_fold(lambda: spec.make(description, spec.signature_of(description)))
    fold.replay(read(folder / "journal"))
    return fold


def test_what_is_learned_is_seen_in_the_next_answer(learning: Learning) -> None:
    assert learning.predict(slice(0, 1))["parameters"] == {"offset": 0}
    right = 0
    for row in range(60):
        rows = slice(row, row + 1)
        answer = learning.predict(rows)
        right += answer["outputs"][0]["data"] == labels(rows)
        taught = learning.learn(rows, wait=True)
        assert (taught.status_code, taught.json()["offset"]) == (200, row + 1)
    assert right > 40
    told = learning.http.get("/v2/models/cancer/learning").json()
    assert (told["offset"], told["learned"], told["behind"], told["answering"]) == (60, 60, 0, "learner")
    assert told["scores"]["window"]["accuracy"] == right / 60
    assert set(told["drift"]) == {"adwin", "hddm_w", "page_hinkley"}
    assert told["scores"]["window"]["accuracy_low"] < right / 60 < told["scores"]["window"]["accuracy_high"]
    answer = learning.predict(slice(0, 60))
    assert answer["parameters"] == {"offset": 60}

    # And on the page of all metrics, whichever door is asked.
    eventually(lambda: learning.metrics()['offset{model="cancer",version="1",of="published"}'] == 60)
    page, own = learning.metrics(), '{model="cancer",version="1"}'
    assert page["updates_total" + own] == page["accepted_total" + own] == page["scored_total" + own] == 60
    assert page["window_accuracy" + own] == pytest.approx(right / 60)
    assert page['loss_total{model="cancer",version="1",of="served"}'] == pytest.approx(60 - right)
    assert page["paused" + own] == page["behind" + own] == page["rollbacks_total" + own] == 0
    assert page['drift_changes_total{model="cancer",version="1",detector="adwin"}'] == 0
    for name in ("no_change_accuracy", "kappa", "kappa_temporal", "log_loss"):
        assert page[f"window_{name}{own}"] == pytest.approx(told["scores"]["window"][name])
    assert re.search(r"[1-9]\d? learned \(\d+/s\), \d+ behind; accuracy", learning.server.log())
    undisturbed = folded(learning.folder).learner.predict(Batch({"x": X[:60]}))
    assert answer["outputs"][1]["data"] == undisturbed["probabilities"].ravel().tolist()


def test_an_outcome_that_comes_later_finds_its_inputs(learning: Learning) -> None:
    learning.predict(slice(0, 1), id="one")
    learning.predict(slice(1, 4), id="three")
    told = [
        {"id": "one", "outcome": "malignant"},
        {"id": "three/2", "outcome": "benign"},
        {"id": "x", "outcome": "benign"},
    ]
    answer = learning.http.post("/v2/models/cancer/feedback?wait=applied", json={"outcomes": told})
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == 2
    assert answer.json()["unknown"] == ["x"]
    again = learning.http.post("/v2/models/cancer/feedback?wait=applied", json={"outcomes": told[:2]})
    assert (again.json()["accepted"], again.json()["offset"]) == (2, 4)
    fold = folded(learning.folder)
    assert (fold.offset, fold.learned) == (4, 2)
    given = learning.http.get("/v2/models/cancer/learning").json()["given"]
    assert (given["examples"], given["window"]["examples"]) == (2, 2)
    assert given["window"]["no_change_accuracy"] == 0.0
    assert fold.delayed.report() == given


def test_nothing_accepted_is_lost_and_nothing_counts_twice(learning: Learning) -> None:
    accepted = 0
    for place, start in enumerate(range(0, 500, 10)):
        if place % 10 == 5:
            pid = learning.learner_pid()
            os.kill(pid, signal.SIGKILL)
            learning.restarted(pid)
        answer = learning.learn(slice(start, start + 10), id=f"block {start}")
        while answer.status_code == 503:  # it was not accepted: the client sends it again
            answer = learning.learn(slice(start, start + 10), id=f"block {start}")
        assert answer.status_code == 202, answer.text
        accepted += 10
    last = learning.learn(slice(500, 510), wait=True, id="last").json()["offset"]
    answer = learning.predict(slice(0, 100))
    assert answer["parameters"] == {"offset": last}
    undisturbed = folded(learning.folder)
    assert undisturbed.learned == accepted + 10 + 1  # and the one that tells that the process is back, five times
    told = undisturbed.learner.predict(Batch({"x": X[:100]}))
    np.testing.assert_array_equal(answer["outputs"][1]["data"], told["probabilities"].ravel())


def test_loading_it_anew_changes_nothing_of_what_learns(learning: Learning) -> None:
    """All the while it is asked and taught, and nobody is turned away."""
    pid, over, taught, told = learning.learner_pid(), threading.Event(), 0, []

    def go_on() -> None:
        nonlocal taught
        while not over.is_set():
            rows = slice(taught % 500, taught % 500 + 1)
            learning.predict(rows)
            told.append(learning.learn(rows, wait=True).status_code)
            taught += 1

    model = learning.folder.parents[3] / "cancer.json"
    whole = model.read_text()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(go_on)
        eventually(lambda: taught > 5)
        try:
            for _ in range(3):
                assert learning.server.ask("POST", "/v2/repository/models/cancer/load", {})[0] == 200
            learning.server.reload()
            model.write_text(whole.replace("[-1, 30]", "[-1, 29]"))
            status, refused = learning.server.ask("POST", "/v2/repository/models/cancer/load", {})
            seen = taught
            eventually(lambda: taught > seen + 5 or busy.done())  # whatever its file is now
            model.write_text(whole)
            assert learning.server.ask("POST", "/v2/repository/models/cancer/load", {})[0] == 200
        finally:
            over.set()
        busy.result()
    assert status == 422
    assert "cancer:1" in refused["error"]
    assert "pack the changed one as a new version" in refused["error"]
    assert set(told) == {200}
    assert learning.learner_pid() == pid
    assert folded(learning.folder).offset == taught
    # A door that comes later finds the same process.
    ready = learning.server.log().count("is ready (")
    doors = [pid for pid in learning.server.doors() if b"servable.app" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(doors[0], signal.SIGKILL)
    learning.server.all_ready(ready + 1)
    assert learning.learner_pid() == pid


def test_what_was_learned_is_no_other_models(learning: Learning, tmp_path: Path) -> None:
    assert learning.learn(slice(0, 5), wait=True).status_code == 200
    learning.server.send(signal.SIGTERM)
    assert learning.server.ended() == 0
    model = tmp_path / "cancer.json"
    whole = model.read_text()
    model.write_text(whole.replace('"benign"]', '"benign"], "options": {"alpha": 0.5}'))
    with Serving(tmp_path, model, workers=1) as other:
        assert other.ended() == 1
        told = other.log()
    own = (learning.folder / "identity").read_text().strip()
    assert f"{learning.folder} holds what the learner with the digest {own} has learned" in told
    assert "serve this one under another name or version, or move that folder away" in told
    model.write_text(whole)
    with Serving(tmp_path, model, workers=1) as again:
        assert again.ready().ask("GET", "/v2/models/cancer/learning")[1]["offset"] == 5


def test_a_server_that_is_stopped_keeps_the_last_state(learning: Learning) -> None:
    for rows in range(0, 300, 10):
        assert learning.learn(slice(rows, rows + 10), wait=True).status_code == 200
    learning.server.send(signal.SIGTERM)
    assert learning.server.ended() == 0
    state = Snapshots(learning.folder / "snapshots").offsets()[-1]
    assert state == folded(learning.folder).offset == 300


def test_what_cannot_be_learned_is_refused_and_the_learner_lives(learning: Learning) -> None:
    path = "/v2/models/cancer/learn"
    refused = [
        ({**body(slice(0, 2)), "outcomes": ["benign", "perhaps"]}, "outcome of row 1: 'perhaps'"),
        ({**body(slice(0, 2)), "outcomes": ["benign"]}, "expected a list of 2, one a row, got 1 values"),
        ({**body(slice(0, 2))}, "got nothing"),
        ({**body(slice(0, 2)), "outcomes": ["benign", 1]}, "no mixture"),
        ({"inputs": [], "outcomes": []}, "'x': expected FP64"),
    ]
    for document, expected in refused:
        answer = learning.http.post(path, json=document)
        assert answer.status_code == 400, answer.text
        assert expected in answer.text
    for document, expected in [({}, "a list of objects"), ({"outcomes": [{"id": 7}]}, "expected an 'id'")]:
        answer = learning.http.post("/v2/models/cancer/feedback", json=document)
        assert (answer.status_code, expected in answer.text) == (400, True)
    assert learning.learn(slice(0, 3), wait=True).json()["offset"] == 3


def test_a_model_that_does_not_learn_says_so(tmp_path: Path) -> None:
    from tests.e2e.serving import write_model

    with Serving(tmp_path, write_model(tmp_path / "line.onnx", 1.0), workers=1) as server:
        server.ready()
        url = f"http://{server.host}:{server.port}/v2/models"
        answer = httpx.post(f"{url}/line/learn", json={"inputs": [], "outcomes": []})
        assert (answer.status_code, "does not learn" in answer.text) == (501, True)
        assert httpx.post(f"{url}/other/feedback", json={"outcomes": [{"id": "a", "outcome": 1}]}).status_code == 404


def test_a_request_may_tell_its_own_outcome(tmp_path: Path) -> None:
    model = tmp_path / "cancer.json"
    model.write_text(DESCRIPTION.removesuffix("}") + ', "target": "truth"}')
    rows = [{"x": x.tolist(), "truth": name} for x, name in zip(X[:40], labels(slice(0, 40)), strict=True)]
    with Serving(tmp_path, model, workers=1) as server:
        server.ready()
        with httpx.Client(base_url=f"http://{server.host}:{server.port}/v2/models/cancer", timeout=30) as http:
            told = http.post("/infer", json={"rows": [*rows, {"x": X[40].tolist()}], "id": "visit"}).json()
            assert told["parameters"] == {"offset": 0}
            eventually(lambda: http.get("/learning").json()["learned"] == 40)
            later = {"outcomes": [{"id": "visit/40", "outcome": labels(slice(40, 41))[0]}]}
            assert http.post("/feedback?wait=applied", json=later).json()["accepted"] == 1
            report = http.get("/learning").json()
            wrong = http.post("/infer", json={"rows": [{"x": X[0].tolist(), "truth": "perhaps"}]})
            assert (wrong.status_code, "one of malignant, benign" in wrong.text) == (400, True)
    assert (report["learned"], report["scores"]["examples"]) == (41, 41)
    alone = spec.make(spec.read(model), spec.signature_of(spec.read(model)))
    alone.learn(Batch({"x": X[:41]}), np.array(labels(slice(0, 41)), object))
    fold = folded(tmp_path / "home" / "online" / "cancer" / "1")
    asked = Batch({"x": X[:60]})
    np.testing.assert_array_equal(fold.learner.predict(asked)["probabilities"], alone.predict(asked)["probabilities"])
