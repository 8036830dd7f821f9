"""A network that learns digits one sample a request, over HTTP: it answers what PyTorch alone would."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from tests.e2e.serving import Serving
from tests.online.streams import packed

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

X, Y = load_digits(return_X_y=True)
X = X / 16.0
SOURCE = """
import servable


class Digits(servable.TorchLearner):
    inputs = {"x": "FP64 [-1, 64]"}
    classes = tuple(range(10))

    def model(self):
        from torch import nn

        return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def optimiser(self, parameters):
        import torch

        return torch.optim.Adam(parameters, lr=0.003)
"""


def alone() -> list[int]:
    """What the network answers to each digit before it learns it, in this process, with nothing of Servable."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.003)
    answers = []
    for x, y in zip(torch.from_numpy(X.astype(np.float32)), torch.from_numpy(Y), strict=True):
        told = network(x[None])
        answers.append(int(told.argmax()))
        optimiser.zero_grad()
        functional.cross_entropy(told, y[None]).backward()
        optimiser.step()
    torch.set_num_threads(threads)
    return answers


def test_digits_are_learned_one_a_request(tmp_path: Path) -> None:
    answers = []
    # Pixels at the rim are 0 but for one digit in hundreds: for their ranges that one is far out.
    with Serving(tmp_path, packed(tmp_path, SOURCE, "digits", reach=1e9), workers=1) as server:
        server.ready()
        with httpx.Client(base_url=f"http://{server.host}:{server.port}/v2/models/digits", timeout=60) as http:
            for row, (x, y) in enumerate(zip(X.tolist(), Y.tolist(), strict=True)):
                body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 64], "data": x}]}
                answers += http.post("/infer", json=body).json()["outputs"][0]["data"]
                taught = http.post("/learn?wait=applied", json={**body, "outcomes": [y]})
                assert (taught.status_code, taught.json()["offset"]) == (200, row + 1), taught.text
            report = http.get("/learning").json()
    assert answers == alone()
    assert np.mean(np.array(answers) == Y) > 0.85
    assert (report["falls"], report["undone"]) == (0, {})
    assert report["scores"]["all"]["no_change_loss"] > 0.8
