"""A stream replayed over HTTP, one event at a time, to a pipeline of River that learns in its process: the accuracy is
River's own, to the digit.
"""

from __future__ import annotations

from pathlib import Path

import httpx
from river import datasets

import servable
from tests.e2e.serving import Serving

SOURCE = """
import servable


class Phishing(servable.RiverLearner):
    inputs = {"x": "FP64 [-1, 9]"}
    classes = (0, 1)

    def model(self):
        from river import linear_model, preprocessing

        return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""


def test_phishing_over_http_is_what_river_measures(tmp_path: Path) -> None:
    source, bundle = tmp_path / "phishing.py", tmp_path / "phishing"
    source.write_text(SOURCE)
    servable.pack(source, output=bundle, allow_unsafe=True)
    right = rows = 0
    with Serving(tmp_path, bundle, workers=1) as server:
        server.ready()
        url = f"http://{server.host}:{server.port}/v2/models/phishing"
        with httpx.Client(timeout=30) as http:
            for x, y in datasets.Phishing():
                body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 9], "data": list(x.values())}]}
                answer = http.post(f"{url}/infer", json=body).json()
                right += answer["outputs"][0]["data"] == [int(y)]
                taught = http.post(f"{url}/learn?wait=applied", json={**body, "outcomes": [int(y)]})
                assert taught.status_code == 200, taught.text
                rows += 1
                assert taught.json()["offset"] == rows
    assert (rows, right / rows) == (1250, 0.8928)
