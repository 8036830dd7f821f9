"""Where learning cannot follow, feedback is turned away with when to come back, and predictions go on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

import servable
from servable.online.event import Examples
from servable.online.journal import read
from servable.online.policy import CAREFUL, SURE
from tests.e2e.serving import Serving, eventually

SOURCE = """
import servable


class Slow(servable.RiverLearner):
    inputs = {"x": "FP64 [-1, 8]"}
    classes = (0, 1)

    def model(self):
        from river import forest

        return forest.ARFClassifier(n_models=10, seed=42)
"""
MOST_BEHIND = 40
ROWS = 20
SENDERS = 8


def test_feedback_is_turned_away_before_predictions_are(tmp_path: Path) -> None:
    source, bundle = tmp_path / "slow.py", tmp_path / "slow"
    source.write_text(SOURCE)
    servable.pack(source, output=bundle, allow_unsafe=True)
    manifest = bundle / "manifest.toml"
    manifest.write_text(f"{manifest.read_text()}\n[options.learning]\nmost_behind = {MOST_BEHIND}\n")
    x = np.random.default_rng(0).normal(size=(ROWS, 8))
    rows = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [ROWS, 8], "data": x.ravel().tolist()}]}
    lesson = {**rows, "outcomes": (x[:, 0] > 0).astype(int).tolist()}
    refused = threading.Event()
    accepted: list[int] = []

    with Serving(tmp_path, bundle, workers=1) as server:
        server.ready()
        url = f"http://{server.host}:{server.port}/v2/models/slow"

        def teach() -> None:
            with httpx.Client(timeout=60) as http:
                while not refused.is_set():
                    answer = http.post(f"{url}/learn", json=lesson)
                    if answer.status_code == 429:
                        assert int(answer.headers["retry-after"]) >= 1
                        assert answer.json()["code"] == "too_many"
                        refused.set()
                    else:
                        assert answer.status_code == 202, answer.text
                        accepted.append(answer.json()["accepted"])

        with ThreadPoolExecutor(SENDERS) as senders, httpx.Client(timeout=60) as http:
            sending = [senders.submit(teach) for _ in range(SENDERS)]
            asked = 0
            while not all(one.done() for one in sending) or asked < 10:
                answer = http.post(f"{url}/infer", json=rows)
                assert answer.status_code == 200, answer.text
                asked += 1
            for one in sending:
                one.result()
            assert refused.is_set()

            # What was accepted is learned, and then there is room again.
            def behind() -> int:
                left: int = http.get(f"{url}/learning").json()["behind"]
                return left

            eventually(lambda: behind() == 0, "all that was accepted to be learned")
            assert http.post(f"{url}/learn?wait=applied", json=lesson).json()["offset"] == sum(accepted) + ROWS


SLEEPS = """
import time

import numpy as np
import servable


class Sleepy(servable.PythonLearner):
    inputs = {"x": "FP64"}
    total, count = 0.0, 0

    def predict(self, batch):
        return {"prediction": np.full(len(batch["x"]), self.total / max(self.count, 1))}

    def learn(self, batch, outcomes):
        time.sleep(0.02 * len(outcomes))
        self.total, self.count = self.total + float(outcomes.sum()), self.count + len(outcomes)
"""


def test_a_learner_that_sleeps_has_no_more_before_it_than_it_can_learn_in_time(tmp_path: Path) -> None:
    """It is flooded from four sides, with its limits as they are but for one: what waits is to be learned in a second.
    Predictions have their turn after each row, all the while, and none fails.
    """
    source, bundle = tmp_path / "sleepy.py", tmp_path / "sleepy"
    source.write_text(SLEEPS)
    servable.pack(source, output=bundle, allow_unsafe=True)
    manifest = bundle / "manifest.toml"
    manifest.write_text(f"{manifest.read_text()}\n[options.learning]\nmost_behind_s = 1.0\n")
    lesson = {"rows": [{"x": float(row)} for row in range(10)], "outcomes": [1.0, 2.0] * 5}
    turned_away, over, accepted = threading.Event(), threading.Event(), []

    with Serving(tmp_path, bundle, workers=1) as server:
        server.ready()
        url = f"http://{server.host}:{server.port}/v2/models/sleepy"

        def teach() -> None:
            with httpx.Client(timeout=60) as http:
                while not over.is_set():
                    answer = http.post(f"{url}/learn", json=lesson)
                    if answer.status_code == 202:
                        accepted.append(answer.json()["offset"])
                        continue
                    assert answer.status_code == 429, answer.text
                    assert int(answer.headers["retry-after"]) >= 1
                    turned_away.set()
                    over.wait(0.1)

        with ThreadPoolExecutor(4) as senders, httpx.Client(timeout=60) as http:
            sending = [senders.submit(teach) for _ in range(4)]
            asked = 0
            while not turned_away.is_set() or asked < 50:
                answer = http.post(f"{url}/infer", json={"rows": [{"x": 1.0}]})
                assert answer.status_code == 200, answer.text
                asked += 1
            over.set()
            for one in sending:
                one.result()
            eventually(lambda: http.get(f"{url}/learning").json()["behind"] == 0, "all that was accepted to be learned")
            report = http.get(f"{url}/learning").json()
    assert report["learned"] == report["offset"] == max(accepted) == 10 * len(accepted)
    events = [entry.event for entry in read(tmp_path / "home" / "online" / "sleepy" / "1" / "journal")]
    rows = [event.rows for event in events if isinstance(event, Examples)]
    assert (rows[:SURE], max(rows) <= CAREFUL, rows[-1]) == ([1] * SURE, True, 1), "a prediction waits for one event"
