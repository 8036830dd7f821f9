"""Streams replayed over HTTP, one event at a time, to models of River that learn in their process: the accuracies are
River's own, to the digit, and what "no change" scores stands beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.serving import Serving
from tests.online.streams import MODELS, NO_CHANGE, PUBLISHED, Stream, alone, packed, source, stream

ROWS = [
    pytest.param(name, model, marks=() if (name, model) == ("phishing", "scaled regression") else pytest.mark.faults)
    for name in NO_CHANGE
    for model in MODELS
]
OUTDONE = {("bananas", model) for model in ("scaled regression", "regression", "naive Bayes")}
"""Learners that become worse than they once were: what was kept of them answers from then on, and is no less right.
Here they answer whatever happens, as River does alone.
"""


def replay(folder: Path, events: Stream, model: str, **guards: float) -> tuple[float, dict[str, Any]]:
    """The share of right answers, and the report of learning."""
    right = 0
    with Serving(folder, packed(folder, source(events, model), "stream", **guards), workers=1) as server:
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
    accuracy, report = replay(tmp_path, stream(name), model, fallback=(name, model) not in OUTDONE)
    assert round(accuracy, 4) == PUBLISHED[name][model]
    assert round(1.0 - report["scores"]["all"]["no_change_loss"], 4) == NO_CHANGE[name]
    assert (report["falls"], report["undone"], report["turned_away"]) == (0, {}, {})


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "model"), sorted(OUTDONE))
def test_what_was_kept_of_a_learner_that_becomes_worse_answers(tmp_path: Path, name: str, model: str) -> None:
    accuracy, report = replay(tmp_path, stream(name), model)
    assert (report["falls"], report["undone"], report["turned_away"]) == (1, {}, {})
    assert round(accuracy, 4) >= PUBLISHED[name][model]


WINDOW = 1000
"""Answers of which the report tells."""


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("delay", [48, 336])
@pytest.mark.parametrize("name", NO_CHANGE)
def test_with_labels_that_come_later_the_report_judges_what_callers_got(tmp_path: Path, name: str, delay: int) -> None:
    events, own = stream(name), alone("scaled regression")
    rows, answers, expected = len(events.y), [], []
    bundle = packed(tmp_path, source(events, "scaled regression"), "stream", fallback=False)
    with Serving(tmp_path, bundle, workers=1) as server:
        server.ready()
        with httpx.Client(base_url=f"http://{server.host}:{server.port}/v2/models/stream", timeout=60) as http:
            for row in range(rows + delay):
                if row < rows:
                    named = dict(zip(events.names, events.x[row].tolist(), strict=True))
                    answer = http.post("/infer", json={"id": str(row), "rows": [named]}).json()
                    answers.append(answer["rows"][0]["label"])
                    expected.append(int(own.predict_one(named) or 0))
                if row >= delay:
                    late = row - delay
                    outcome = {"id": str(late), "outcome": int(events.y[late])}
                    told = http.post("/feedback?wait=applied", json={"outcomes": [outcome]})
                    assert (told.status_code, told.json()["offset"]) == (200, late + 1), told.text
                    own.learn_one(dict(zip(events.names, events.x[late].tolist(), strict=True)), outcome["outcome"])
            given = http.get("/learning").json()["given"]
    assert answers == expected
    right = [one == other for one, other in zip(answers, events.y.tolist(), strict=True)]
    # "No change" knows what was known when the question came: the outcome of the one before the delay.
    unchanged = [row > delay and events.y[row - delay - 1] == events.y[row] for row in range(rows)]
    assert given["examples"] == rows
    assert given["window"]["accuracy"] == pytest.approx(sum(right[-WINDOW:]) / WINDOW)
    assert given["window"]["no_change_accuracy"] == pytest.approx(sum(unchanged[-WINDOW:]) / WINDOW)
