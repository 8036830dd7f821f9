"""Devices: what the configuration says of a model reaches it, in a door or a process; a machine without it says so."""

from __future__ import annotations

from pathlib import Path

from tests.custom import custom
from tests.e2e.serving import Serving, write_model

TOLD = """
import numpy as np
import servable

class Told(servable.PythonModel):
    inputs = {"x": "FP64"}
    outputs = {"device": "BYTES"}

    def load(self, folder):
        self.place = self.device

    def predict(self, batch):
        return {"device": np.array([self.place] * len(batch["x"]), object)}
"""


def test_code_is_told_its_device(tmp_path: Path) -> None:
    bundle = custom(tmp_path / "bundle", TOLD, "told")
    with Serving(tmp_path, bundle, workers=1, devices="told=cuda:1") as serving:
        serving.ready()
        body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]}]}
        _, answer = serving.ask("POST", "/v2/models/told/infer", body)
        assert answer["outputs"][0]["data"] == ["cuda:1"]


def test_a_server_without_the_device_does_not_start_and_says_why(tmp_path: Path) -> None:
    line = write_model(tmp_path / "line.onnx", 1.0)
    with Serving(tmp_path, line, workers=1, devices="line=cuda:7") as serving:
        assert serving.ended() == 3
        assert "line:1 is not available: onnxruntime here cannot use device 'cuda:7'" in serving.log()
