"""A file that a command is given and that is not there: the same sentence and the same exit code, whichever it is."""

from __future__ import annotations

import pytest

from tests.packed import scaler


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "m.onnx", "--input", "none.csv"),
        ("batch", "m.onnx", "--input", "none.csv", "--output", "out"),
        ("batch", "m.onnx", "--input", "none/", "--output", "out"),
        ("batch", "m.onnx", "--input", "none/*.parquet", "--output", "out"),
        ("check", "m.onnx", "--data", "none.csv"),
        ("feedback", "m", "--file", "none.csv"),
        ("schedule", "none.toml"),
        ("pack", "m.onnx", "--sample", "none.csv", "--output", "out"),
        ("pack", "m.onnx", "--sample", "none.npz", "--output", "out"),
        ("pack", "m.onnx", "--rules", "none.toml", "--output", "out"),
        ("serve", "m.onnx", "--config", "none.toml"),
    ],
    ids=" ".join,
)
def test_a_file_that_is_not_there_is_a_fault_of_the_environment(command, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    scaler(tmp_path / "m.onnx")
    told = command(*words, code=3)
    assert "none" in told.err
    assert "read" in told.err
    assert not (tmp_path / "out").exists()
