"""What learns is asked and taught by each way in: both dialects, gRPC, SageMaker's route, the Python clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import tritonclient.grpc as triton
from sklearn.datasets import load_breast_cancer

import servable
from servable.errors import InvalidInput, NotFound
from tests.e2e.serving import Serving, eventually

DESCRIPTION = """{"learner": "ftrl", "inputs": {"x": "FP64 [-1, 30]"}, "classes": ["malignant", "benign"]}"""
X, Y = load_breast_cancer(return_X_y=True)
LABELS = np.array(["malignant", "benign"], object)[Y]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("doors")
    (folder / "cancer.json").write_text(DESCRIPTION)
    with Serving(folder, folder / "cancer.json", workers=2) as running:
        yield running.ready()


@pytest.fixture
def client(server: Serving) -> Iterator[servable.Client]:
    with servable.Client(f"http://{server.host}:{server.port}") as client:
        yield client


def test_every_way_in_tells_the_version_and_the_offset(server: Serving, client: servable.Client) -> None:
    offset = client.learn("cancer", {"x": X[:50]}, LABELS[:50], id="first fifty", wait=True)["offset"]
    url = f"http://{server.host}:{server.port}"
    row = X[60].tolist()
    tensor: dict[str, Any] = {"name": "x", "datatype": "FP64", "shape": [1, 30], "data": row}

    def everywhere() -> list[tuple[Any, Any]]:
        asked = {
            "/v2/models/cancer/infer": {"inputs": [tensor]},
            "/v1/models/cancer:predict": {"instances": [row]},
            "/invocations": {"instances": [row]},
        }
        told = [httpx.post(url + path, json=body).raise_for_status().json() for path, body in asked.items()]
        found = [(one["model_version"], one["parameters"]["offset"]) for one in told]
        with triton.InferenceServerClient(server.grpc) as grpc:
            given = triton.InferInput("x", [1, 30], "FP64")
            given.set_data_from_numpy(X[60:61])
            answer = grpc.infer("cancer", [given]).get_response()
        found.append((answer.model_version, answer.parameters["offset"].int64_param))
        outputs = client.predict("cancer", {"x": X[60:61]}, id="asked")
        assert outputs.id == "asked"
        found.append((outputs.model_version, outputs.parameters["offset"]))
        frame = client.predict("cancer", pd.DataFrame({"x": [row]}))
        return [*found, ("1", frame.attrs["offset"])]

    # Whoever waits is told by the door that it asked; the other one has the state a moment later.
    eventually(lambda: set(everywhere()) == {("1", offset)}, "all ways to answer at the newest offset")


def test_the_client_teaches_and_is_told_how_it_goes(client: servable.Client) -> None:
    before = client.learning("cancer")["learned"]
    told = client.learn("cancer", {"x": X[100:120]}, LABELS[100:120], id="twenty", wait=True)
    assert told["accepted"] == 20
    assert client.learn("cancer", {"x": X[100:120]}, LABELS[100:120], id="twenty", wait=True)["accepted"] == 20
    answer = client.predict("cancer", {"x": X[130:131]}, id="later")
    assert answer.id == "later"
    told = client.feedback(
        "cancer", [{"id": "later", "outcome": LABELS[130]}, {"id": "never", "outcome": "benign"}], wait=True
    )
    assert (told["accepted"], told["unknown"]) == (1, ["never"])
    assert client.learning("cancer")["learned"] == before + 21
    rows = [{"x": x.tolist()} for x in X[140:142]]
    assert client.learn("cancer", rows, list(LABELS[140:142]))["accepted"] == 2

    async def story() -> None:
        async with servable.AsyncClient(str(client._http.base_url)) as others:
            told = await others.learn("cancer", {"x": X[200:230]}, LABELS[200:230], wait=True)
            assert (await others.learning("cancer"))["offset"] >= told["offset"]
            answer = await others.predict("cancer", {"x": X[231:232]}, id="another")
            told = await others.feedback("cancer", [{"id": answer.id, "outcome": LABELS[231]}], wait=True)
            assert told["accepted"] == 1

    asyncio.run(story())


def test_what_cannot_be_meant_is_told(server: Serving, client: servable.Client) -> None:
    with pytest.raises(InvalidInput, match="no class: expected one of 'malignant', 'benign'"):
        client.learn("cancer", {"x": X[:1]}, ["bening"])
    with pytest.raises(InvalidInput, match="expected a list of 2, one a row, got 1 values") as caught:
        client.learn("cancer", {"x": X[:2]}, ["benign"])
    example = caught.value.detail["example"]
    assert len(example["rows"][0]["x"]) == 30
    assert example["outcomes"] == ["a class"]
    with pytest.raises(InvalidInput, match="no input 'y'"):
        client.learn("cancer", {"y": X[:1]}, ["benign"])
    with pytest.raises(NotFound, match="did you mean 'cancer'"):
        client.learn("cancr", {"x": X[:1]}, ["benign"])
    url = f"http://{server.host}:{server.port}/v2/models/cancer/feedback?wait=aplied"
    told = httpx.post(url, json={"outcomes": [{"id": "a", "outcome": "benign"}]})
    assert (told.status_code, "expected 'applied', or nothing, got 'aplied'" in told.text) == (400, True)


def test_each_request_teaches_what_its_own_input_was(tmp_path: Path) -> None:
    """One of two sensors from the other: nobody tells an outcome, and the model is not shown what it is to say."""
    (tmp_path / "sensor.json").write_text(
        '{"learner": "linear", "inputs": {"near": "FP64", "far": "FP64"}, "target": "far"}'
    )
    with (
        Serving(tmp_path, tmp_path / "sensor.json", workers=1) as server,
        servable.Client(f"http://{server.ready().host}:{server.port}") as client,
    ):
        draw = np.random.default_rng(5)
        for block in range(20):
            near = draw.normal(size=50)
            client.predict("sensor", {"near": near, "far": 3.0 * near + 2.0})
            eventually(lambda done=50 * (block + 1): client.learning("sensor")["learned"] == done)
        near = np.array([-1.0, 0.0, 1.0])
        told = client.predict("sensor", {"near": near, "far": np.zeros(3)})["prediction"]
    np.testing.assert_allclose(told, 3.0 * near + 2.0, atol=0.2)
