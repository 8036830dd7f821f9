from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest

from servable.registry.registry import Registry
from servable.server.access.keys import Keys
from tests.packed import bundle_at, scaler

ROWS = '{"x": [1, 2]}\n{"x": [3, 4.5]}\n'
TRIPLED = [{"y": [3.0, 6.0]}, {"y": [9.0, 13.5]}]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(ROWS)
    return path


def test_by_path(command, tmp_path, rows):
    told = command("predict", scaler(tmp_path / "m.onnx", 3), "--input", rows)
    assert [json.loads(line) for line in told.out.splitlines()] == TRIPLED


def test_by_ref_the_champion_answers(command, tmp_path, rows):
    for factor in (3, 2):
        Registry(command.home).register(bundle_at(tmp_path / f"b{factor}", factor=factor))
    assert command("predict", "scaler", "--input", rows, "--json").json["model_version"] == "2"
    command("models", "alias", "scaler@champion", "1")
    told = command("predict", "scaler", "--input", rows, "--json").json
    assert told == {"model_name": "scaler", "model_version": "1", "rows": TRIPLED}


def test_every_fault_of_the_rows_is_told(command, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"x": [1], "z": 0}\n')
    told = command("predict", scaler(tmp_path / "m.onnx"), "--input", tmp_path / "bad.jsonl", code=1)
    assert "'x': expected values nested as shape [1, 2]" in told.err
    assert "'z': expected a column of the model ('x'), got an unknown column" in told.err


def test_no_rows_no_answers(command, tmp_path):
    (tmp_path / "none.json").write_text("[]")
    told = command("predict", scaler(tmp_path / "m.onnx"), "--input", tmp_path / "none.json")
    assert told.out == "" and "none.json holds no rows: nothing was asked" in told.err


def test_nobody_answers(command, rows):
    told = command("predict", "m", "--input", rows, "--url", "http://127.0.0.1:1", code=3)
    assert "cannot reach http://127.0.0.1:1/v2/models/m" in told.err


def test_an_address_that_is_none(command, rows):
    command("predict", "m", "--input", rows, "--url", "localhost:8080", code=2)


def test_over_the_network_with_a_key(command, tmp_path, rows, monkeypatch):
    """The same rows, asked from a real server that demands a key."""
    secret, _ = Keys(command.home).create("ada", ["invoker"])
    words = [
        "serve",
        str(scaler(tmp_path / "m.onnx", 3)),
        "--http-port",
        "0",
        "--grpc-port",
        "-1",
        "--require-key",
        "--json",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "servable", *words, "--home", str(command.home)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        url = json.loads(server.stdout.readline())["http"][0]
        try:
            told = command("predict", "m", "--input", rows, "--url", url, code=1)
            assert re.search(r"answers 401: a key is needed", told.err)
            monkeypatch.setenv("SERVABLE_KEY", secret)
            assert command("predict", "m", "--input", rows, "--url", url, "--json").json["rows"] == TRIPLED
            told = command("predict", "m:9", "--input", rows, "--url", url, code=1)
            assert "answers 404" in told.err
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
