"""BentoML: a service with an array for its input.

Run with  bentoml serve benchmarks.peers.apps.bentoml:OnnxService
"""

from __future__ import annotations

from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import DType

from benchmarks.peers.apps.onnx import session_of_environment

Matrix = Annotated[np.ndarray, DType("float32")]


@bentoml.service(workers=1, traffic={"timeout": 60})
class OnnxService:
    def __init__(self) -> None:
        self.session = session_of_environment()
        self.source = self.session.get_inputs()[0].name
        self.names = [output.name for output in self.session.get_outputs()]

    @bentoml.api
    def predict(self, x: Matrix) -> dict[str, Any]:
        answers = self.session.run(None, {self.source: x})
        return {name: y.tolist() for name, y in zip(self.names, answers, strict=True)}
