"""Streams replayed over HTTP, one event at a time, to models of River that learn in their process: the accuracies are
River's own, to the digit, and what "no change" scores stands beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.serving import Serving
from tests.online.streams import MODELS, NO_CHANGE, PUBLISHED, Stream, packed, source, stream

ROWS = [
    pytest.param(name, model, marks=() if (name, model) == ("phishing", "scaled regression") else pytest.mark.faults)
    for name in NO_CHANGE
    for model in MODELS
]


def replay(folder: Path, events: Stream, model: str) -> tuple[float, dict[str, Any]]:
    """The share of right answers, and the report of learning."""
    right = 0
    with Serving(folder, packed(folder, source(events, model), "stream"), workers=1) as server:
        server.ready()
        with httpx.Client(base_url=f"http://{server.host}:{server.port}/v2/models/stream", timeout=60) as http:
            for row, (x, y) in enumerate(zip(events.x.tolist(), events.y.tolist(), strict=True)):
                body = {"rows": [dict(zip(events.names, x, strict=True))]}
                answer = http.post("/infer", json=body).json()
                right += answer["rows"][0]["label"] == y
                taught = http.post("/learn?wait=applied", json={**body, "outcomes": [y]})
                assert (taught.status_code, taught.json()["offset"]) == (200, row + 1), taught.text
            report: dict[str, Any] = http.get("/learning").json()
    return right / len(events.y), report


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "model"), ROWS)
def test_a_stream_over_http_is_what_river_measures(tmp_path: Path, name: str, model: str) -> None:
    accuracy, report = replay(tmp_path, stream(name), model)
    assert round(accuracy, 4) == PUBLISHED[name][model]
    assert round(1.0 - report["scores"]["all"]["no_change_loss"], 4) == NO_CHANGE[name]
    assert (report["falls"], report["undone"], report["turned_away"]) == (0, {}, {})
