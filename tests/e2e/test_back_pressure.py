"""Where learning cannot follow, feedback is turned away with when to come back, and predictions go on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

import servable
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
