"""A program for desktops answers and refuses as the server does, with Python and onnxruntime and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from servable.bundles.load import Predictor
from servable.domain.batch import Batch
from servable.edge.bare_python import bare_python
from servable.edge.desktop import PROGRAM, write
from servable.edge.edition import edition_of
from servable.wire.inquiry import Inquiry
from servable.wire.open_inference import Codec
from servable.wire.options import Options
from tests.cli.command import servable
from tests.edge.exported import Exported, ExportTo

pytestmark = pytest.mark.timeout(300)
MOST_BYTES = 155_000
ROW = {"age": 40, "income": 2500, "city": "north", "kind": "a"}
CSV = "age,income,city,kind\n40,2500,north,a\n41,,south,\n"


@pytest.fixture(scope="module")
def exported(exported_to: ExportTo) -> Exported:
    return exported_to("desktop")


@pytest.fixture(scope="module")
def program(exported: Exported) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The beginning of a command line, and the environment: no package of this one is in it."""
    with bare_python() as (python, environment):
        yield [*python, str(exported[0] / PROGRAM)], environment


def ran(program: tuple[list[str], dict[str, str]], *words: object) -> subprocess.CompletedProcess[str]:
    command = [*program[0], *map(str, words)]
    return subprocess.run(command, env=program[1], capture_output=True, text=True, check=False, timeout=120)


def test_a_bare_python_answers_as_the_server(exported: Exported) -> None:
    (device,) = exported[1].devices
    assert exported[1].proven
    assert device.device.startswith("Python 3.")
    assert device.answered > 100
    assert device.refused > 40
    assert device.largest["prediction"] < 1e-4
    assert device.first_ms is not None and device.p50_ms is not None
    assert exported[1].bytes["the program"] < MOST_BYTES


def test_there_is_nothing_else_in_that_python(program: tuple[list[str], dict[str, str]]) -> None:
    (python, *switches), environment = program[0][:-1], program[1]
    script = "import numpy, onnxruntime, importlib.util as u; print(*map(u.find_spec, ['msgspec', 'orjson']))"
    told = subprocess.check_output([python, *switches, "-c", script], env=environment, text=True)
    assert told.split() == ["None"] * 2


def test_rows_of_a_file(program: tuple[list[str], dict[str, str]], predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW))
    (tmp_path / "young.json").write_text(json.dumps([ROW, {**ROW, "age": 17}]))
    told = ran(program, "predict", "--input", tmp_path / "rows.csv")
    here = servable("predict", predictor.bundle.folder, "--input", tmp_path / "rows.csv", "--home", tmp_path)
    assert (told.returncode, told.stdout) == (0, here.out)
    assert "rule.with-kind: clip rows 1" in told.stderr
    assert ran(program, "predict", "--input", tmp_path / "rows.jsonl").stdout == told.stdout.splitlines(True)[0]
    refused = ran(program, "predict", "--input", tmp_path / "young.json")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith("we lend to adults only; expected 'age' at least 18, got 17 (row 1)\n")
    absent = ran(program, "predict", "--input", tmp_path / "absent.csv")
    assert (absent.returncode, absent.stderr.count("\n")) == (3, 1)
    assert ran(program).returncode == 2
    assert ran(program, "serve", "--port", 70000).stderr == "error: --port: expected 0 to 65535, got 70000\n"


def test_it_says_what_it_is(program: tuple[list[str], dict[str, str]], predictor: Predictor) -> None:
    told = json.loads(ran(program, "show").stdout)
    assert told["inputs"][0] == {"name": "age", "datatype": "INT64", "shape": [-1, 1]}
    assert (told["name"], told["versions"], told["digest"]) == ("loan", ["3"], predictor.bundle.digest)
    assert "adult" in told["rules"]


@pytest.fixture(scope="module")
def url(program: tuple[list[str], dict[str, str]]) -> Iterator[str]:
    with subprocess.Popen(
        [*program[0], "serve", "--port", "0"], env=program[1], stdout=subprocess.PIPE, text=True
    ) as door:
        assert door.stdout is not None
        try:
            yield door.stdout.readline().strip()
        finally:
            door.send_signal(signal.SIGTERM)
            assert door.wait(timeout=60) == 0


def asked(url: str, body: Any = None, **headers: str) -> tuple[int, bytes, Any]:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def test_the_port_speaks_the_servers_words(url: str, predictor: Predictor) -> None:
    codec = Codec(predictor.signature, "loan", "3", predictor.bundle.manifest.labels)
    batch = Batch.join([codec.decode(json.dumps({"rows": [ROW]}).encode()).batch] * 2)
    tensors = [
        {"name": name, "datatype": field.datatype, "shape": [2, 1], "data": batch[name].ravel().tolist()}
        for name, field in ((field.name, field) for field in predictor.signature.inputs)
    ]
    answer = predictor.predict_batch(batch)
    for body, inquiry in (
        ({"id": "mine", "inputs": tensors}, Inquiry(batch, Options("mine"))),
        ({"id": "mine", "rows": [ROW, ROW]}, Inquiry(batch, Options("mine"), by_rows=True)),
    ):
        status, told, _ = asked(f"{url}/v2/models/loan/infer", body)
        assert (status, json.loads(told)) == (200, json.loads(codec.encode("mine", answer, inquiry)[0]))
    status, told, _ = asked(f"{url}/v2/models/loan/versions/3/infer", {"rows": [ROW]}, X_Request_Id="theirs")
    assert json.loads(told)["id"] == "theirs"
    first, second = (json.loads(asked(f"{url}/v2/models/loan/infer", {"rows": [ROW]})[1])["id"] for _ in "ab")
    assert first and first != second


def test_tensors_come_and_go_as_bytes(url: str, predictor: Predictor) -> None:
    texts = b"".join(len(text).to_bytes(4, "little") + text.encode() for text in ("north", "a"))
    raw = np.int64(40).tobytes() + np.float32(2500).tobytes() + texts
    sizes = {"age": 8, "income": 4, "city": 9, "kind": 5}
    head = json.dumps(
        {
            "inputs": [
                {"name": field.name, "datatype": field.datatype, "shape": [1, 1],
                 "parameters": {"binary_data_size": sizes[field.name]}}
                for field in predictor.signature.inputs
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()  # fmt: skip
    status, told, headers = asked(
        f"{url}/v2/models/loan/infer", head + raw, Inference_Header_Content_Length=str(len(head))
    )
    length = int(headers["Inference-Header-Content-Length"])
    found = np.frombuffer(told[length : length + 4], np.float32)
    expected = predictor.predict({name: np.array([[value]]) for name, value in ROW.items()})["prediction"]
    assert status == 200
    np.testing.assert_allclose(found, expected)


def test_the_port_refuses_as_the_server_does(url: str, predictor: Predictor) -> None:
    infer = f"{url}/v2/models/loan/infer"
    status, told, _ = asked(infer, {"rows": [{**ROW, "age": 10}]})
    assert (status, json.loads(told)["code"]) == (422, "refused")
    status, told, _ = asked(infer, {"rows": [{"age": "old"}]})
    assert status == 400
    assert json.loads(told)["example"] == Codec(predictor.signature, "loan", "3").example()
    assert asked(infer, b"{")[0] == 400
    assert asked(infer, {"rows": []}, Inference_Header_Content_Length="x")[0] == 400
    assert asked(infer, b"x", Content_Length=str(1 << 40))[0] == 413
    assert asked(infer, b"x", Content_Encoding="gzip")[0] == 501
    assert asked(f"{url}/v2/models/other/infer", {})[0] == 404
    assert asked(f"{url}/v2/health/ready", Host="a-page.example")[0] == 403


def test_it_is_healthy_and_tells_its_contract(url: str, predictor: Predictor) -> None:
    assert [asked(f"{url}/v2/{path}")[0] for path in ("health/live", "health/ready", "models/loan/ready")] == [200] * 3
    told = json.loads(asked(f"{url}/v2/models/loan")[1])
    assert [tensor["name"] for tensor in told["outputs"]] == [field.name for field in predictor.signature.outputs]
    assert json.loads(asked(f"{url}/v2")[1])["name"] == "servable"


def test_equal_editions_are_equal_files(predictor: Predictor, exported: Exported, tmp_path: Path) -> None:
    write(edition_of(predictor.bundle, "3"), tmp_path, frozenset())
    assert (tmp_path / PROGRAM).read_bytes() == (exported[0] / PROGRAM).read_bytes()


def test_a_changed_model_is_not_run(
    program: tuple[list[str], dict[str, str]], exported: Exported, tmp_path: Path
) -> None:
    with zipfile.ZipFile(exported[0] / PROGRAM) as good, zipfile.ZipFile(tmp_path / PROGRAM, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name)[: -1 if name == "model/model.onnx" else None])
    told = ran(([*program[0][:-1], str(tmp_path / PROGRAM)], program[1]), "show")
    assert told.returncode == 1
    assert "the file was changed or damaged after packing" in told.stderr


def test_what_the_machine_lacks_is_said(exported: Exported, program: tuple[list[str], dict[str, str]]) -> None:
    command = [*program[0][:-1], str(exported[0] / PROGRAM), "show"]
    told = subprocess.run(command, env={}, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 3
    assert "-m pip install onnxruntime" in told.stderr
    page = servable("export", "x", "--target", "desktop", "--inline", "--output", "y")
    assert (page.code, "--inline makes a page" in page.err) == (2, True)
