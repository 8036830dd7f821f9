"""A model process of one command: foreign code answers, crashes and refuses there, and is gone with its `close`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.engine.plan import Target
from servable.engine.process.alone import load_alone, needs_process
from servable.errors import ModelFailed, ServableError
from tests.custom import custom
from tests.packed import bundle_at

MODEL = """
import os
import servable

class Own(servable.PythonModel):
    inputs = {"x": "FP64 [-1, 2]"}
    outputs = {"pid": "INT64 [-1]"}

    def predict(self, batch):
        if batch["x"][0, 0] < 0:
            os._exit(7)
        if batch["x"][0, 0] > 9:
            raise ValueError("too much")
        return {"pid": [os.getpid()] * len(batch["x"])}
"""


@pytest.fixture
def own(tmp_path):
    loaded = load_alone(Target("own", "1", str(custom(tmp_path / "own", MODEL))), tmp_path)
    yield loaded.model
    loaded.model.close()


def ask(model, value: float, rows: int = 3):
    return model.predict(Batch({"x": np.full((rows, 2), value)}))["pid"]


def test_it_answers_from_elsewhere(own):
    (pid,) = set(ask(own, 1.0).tolist())
    assert pid != os.getpid()
    assert len(ask(own, 1.0, rows=200_000)) == 200_000


def test_an_error_is_told_and_the_process_lives_on(own):
    with pytest.raises(ModelFailed, match="ValueError"):
        ask(own, 10.0)
    assert len(ask(own, 1.0)) == 3


def test_a_crash_is_told(own):
    with pytest.raises(ModelFailed, match=r"died of a call with 3 rows \(exit code 7"):
        ask(own, -1.0)


def test_it_is_gone_when_closed(tmp_path):
    loaded = load_alone(Target("s", "1", str(bundle_at(tmp_path / "b"))), tmp_path)
    assert loaded.model.predict(Batch({"x": np.ones((1, 2), np.float32)}))["y"].tolist() == [[2.0, 2.0]]
    pid = loaded.model._process.pid
    loaded.model.close()
    assert not Path(f"/proc/{pid}").exists()


def test_what_keeps_it_from_loading_is_told(tmp_path):
    folder = bundle_at(tmp_path / "b")
    (folder / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ServableError):
        load_alone(Target("s", "1", str(folder)), tmp_path)


def test_who_needs_one(tmp_path):
    assert needs_process(custom(tmp_path / "own", MODEL))
    assert not needs_process(bundle_at(tmp_path / "b"))
