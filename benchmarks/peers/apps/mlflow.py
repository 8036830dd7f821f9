"""MLflow: a pyfunc model from code. Run with  python -m benchmarks.peers.apps.mlflow FOLDER  to save it."""

from __future__ import annotations

import sys
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from benchmarks.peers.apps.onnx import session


class OnnxModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc] # mlflow lives in another environment
    def load_context(self, context: Any) -> None:
        self.session = session(context.artifacts["model"])
        self.source = self.session.get_inputs()[0].name
        self.names = [output.name for output in self.session.get_outputs()]

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        del context, params
        answers = self.session.run(None, {self.source: np.asarray(model_input, dtype=np.float32)})
        if isinstance(model_input, np.ndarray):
            return dict(zip(self.names, answers, strict=True))
        label, probabilities = answers  # rows of a file: a frame, as bulk prediction wants
        return pd.DataFrame({"label": label, "p0": probabilities[:, 0], "p1": probabilities[:, 1]})


mlflow.models.set_model(OnnxModel())

if __name__ == "__main__":
    mlflow.pyfunc.save_model(sys.argv[1], python_model=__file__, artifacts={"model": sys.argv[2]}, pip_requirements=[])
