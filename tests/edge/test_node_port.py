"""The package for Node answers over HTTP on this machine, and refuses in the server's words."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servable.bundles.load import Predictor
from servable.edge.served import answers

ROW = {"age": 40, "income": 2500, "city": "north", "kind": "a"}


@pytest.fixture(scope="module")
def url(package: Path) -> Iterator[str]:
    name, script = json.loads((package / "package.json").read_text())["bin"].popitem()
    assert name == "loan-serve"
    command = ["node", package / script, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as door:
        assert door.stdout is not None
        try:
            yield door.stdout.readline().strip()
        finally:
            door.send_signal(signal.SIGTERM)
            assert door.wait(timeout=60) == 0


def asked(url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def prediction(told: Any) -> float:
    """Of the only row."""
    return float(told[0]["prediction"] if "prediction" in told[0] else told[0]["data"][0])


def test_rows_and_tensors_are_answered_as_by_the_server(url: str, predictor: Predictor) -> None:
    tensors = [
        {"name": field.name, "datatype": field.datatype, "shape": [1, 1], "data": [ROW[field.name]]}
        for field in predictor.signature.inputs
    ]
    for body, key in (({"rows": [ROW]}, "rows"), ({"inputs": tensors}, "outputs")):
        (want,) = answers(predictor, "3", [body])
        status, told = asked(f"{url}/v2/models/loan/infer", {"id": "mine", **body})
        assert (status, told["id"], told["model_version"]) == (200, "mine", "3")
        assert told.get("parameters") == want.get("parameters")
        assert prediction(told[key]) == pytest.approx(prediction(want[key]), rel=1e-4)
    status, told = asked(f"{url}/v2/models/loan/versions/3/infer", {"rows": [ROW]}, X_Request_Id="theirs")
    assert told["id"] == "theirs"
    first, second = (asked(f"{url}/v2/models/loan/infer", {"rows": [ROW]})[1]["id"] for _ in "ab")
    assert first and first != second


def test_it_refuses_in_the_servers_words(url: str, predictor: Predictor) -> None:
    infer = f"{url}/v2/models/loan/infer"
    for body, status in (({"rows": [{**ROW, "age": 10}]}, 422), ({"rows": [{"age": "old"}]}, 400)):
        (want,) = answers(predictor, "3", [body])
        want.pop("example", None)
        assert asked(infer, body) == (status, want)
    assert asked(infer, b"{")[1]["code"] == "invalid_input"
    assert asked(infer, {})[0] == 400
    assert asked(infer, b"[1]")[0] == 400
    assert asked(infer, b"x", Content_Encoding="gzip")[0] == 501
    assert asked(infer, b"x", Inference_Header_Content_Length="1")[0] == 501
    assert asked(f"{url}/v2/models/other/infer", {})[0] == 404
    assert asked(f"{url}/v2/health/ready", Host="a-page.example")[0] == 403


def test_it_is_healthy_and_tells_its_contract(url: str, predictor: Predictor) -> None:
    assert [asked(f"{url}/v2/{path}")[0] for path in ("health/live", "health/ready", "models/loan/ready")] == [200] * 3
    told = asked(f"{url}/v2/models/loan")[1]
    assert [tensor["name"] for tensor in told["inputs"]] == [field.name for field in predictor.signature.inputs]
    assert told["versions"] == ["3"]


def test_a_port_that_is_none(package: Path) -> None:
    done = subprocess.run(
        ["node", package / "serve.js", "--port", "70000"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: ")
