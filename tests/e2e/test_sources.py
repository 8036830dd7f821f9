"""Senders of examples, each with a key of its own, at a real server: what caps one leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from sklearn.datasets import load_breast_cancer

from servable.online.event import Examples, batch_of
from servable.online.guards.quarantine import read as quarantined
from servable.online.intake import TOO_MUCH
from servable.online.journal import read
from servable.server.access.keys import Keys
from tests.e2e.serving import Serving
from tests.online.streams import restricted

DESCRIPTION = """{"learner": "ftrl", "inputs": {"x": "FP64 [-1, 30]"}, "classes": ["malignant", "benign"]}"""
X, Y = load_breast_cancer(return_X_y=True)
NAMES = np.array(["malignant", "benign"])
Teach = Callable[[slice], httpx.Response]


def serving(folder: Path, **guards: float) -> tuple[Serving, list[str]]:
    """A server whose learner has these limits, and the secrets of two who may teach it."""
    model = folder / "cancer.json"
    model.write_text(DESCRIPTION)
    keys = Keys(folder / "home")
    secrets = [keys.create(name, ["viewer", "invoker", "feedback"])[0] for name in ("loud", "quiet")]
    return Serving(folder, restricted(model, folder, **guards), workers=1, require_key=True), secrets


def client(server: Serving, secret: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.Client(base_url=f"http://{server.host}:{server.port}/v2/models/cancer", headers=headers, timeout=60)


def teach(http: httpx.Client, rows: slice) -> httpx.Response:
    x = X[rows]
    tensor = {"name": "x", "datatype": "FP64", "shape": list(x.shape), "data": x.ravel().tolist()}
    return http.post("/learn?wait=applied", json={"inputs": [tensor], "outcomes": NAMES[Y[rows]].tolist()})


def learned(folder: Path, source: str) -> np.ndarray:
    """The rows that the journal holds of a sender."""
    journal = folder / "home" / "online" / "cancer" / "1" / "journal"
    events = [entry.event for entry in read(journal)]
    held = [batch_of(one.columns)["x"] for one in events if isinstance(one, Examples) and one.source == source]
    return np.concatenate(held)


def test_who_has_taught_its_share_goes_to_quarantine_and_the_others_are_learned(tmp_path: Path) -> None:
    server, secrets = serving(tmp_path, most_share=0.5)
    with server:
        server.ready()
        loud, quiet = (client(server, secret) for secret in secrets)
        with loud, quiet:
            # Before a thousand examples there are no shares: by then nine tenths are of one sender.
            for _ in range(9):
                assert teach(loud, slice(0, 100)).json()["accepted"] == 100
            assert teach(quiet, slice(0, 100)).json()["accepted"] == 100
            refused = teach(loud, slice(100, 200))
            assert (refused.status_code, refused.json()["accepted"]) == (200, 0)
            for _ in range(9):
                assert teach(quiet, slice(200, 300)).json()["accepted"] == 100
            report = quiet.get("/learning").json()
            # Now it is the other that has taught more than half, and who teaches least is never turned away.
            assert teach(quiet, slice(300, 310)).json()["accepted"] == 0
            assert teach(loud, slice(300, 310)).json()["accepted"] == 10
    assert (report["learned"], report["turned_away"]) == (1900, {TOO_MUCH: 100})
    np.testing.assert_array_equal(learned(tmp_path, "loud"), np.concatenate([*[X[:100]] * 9, X[300:310]]))
    np.testing.assert_array_equal(learned(tmp_path, "quiet"), np.concatenate([X[:100], *[X[200:300]] * 9]))
    held = quarantined(tmp_path / "home" / "online" / "cancer" / "1" / "quarantine.jsonl")
    assert [line["reason"] for line in held] == [TOO_MUCH] * 110
    assert [line["source"] for line in held] == ["loud"] * 100 + ["quiet"] * 10
    np.testing.assert_array_equal([line["inputs"]["x"] for line in held[:100]], X[100:200])


def test_who_teaches_too_fast_is_told_when_to_come_back_and_the_others_are_not(tmp_path: Path) -> None:
    server, secrets = serving(tmp_path, most_per_s=0.01)
    with server:
        server.ready()
        loud, quiet = (client(server, secret) for secret in secrets)
        with loud, quiet:
            assert teach(loud, slice(0, 1)).status_code == 200
            refused = teach(loud, slice(1, 2))
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
            assert 60 < int(refused.headers["retry-after"]) <= 100
            assert "'loud' teaches faster" in refused.json()["error"]
            assert teach(quiet, slice(1, 2)).status_code == 200
            report = quiet.get("/learning").json()
    assert (report["learned"], report["turned_away"]) == (2, {})
    np.testing.assert_array_equal(learned(tmp_path, "loud"), X[:1])
