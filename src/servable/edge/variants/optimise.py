"""The model after onnxruntime's own work on its graph: constants folded, dead ends and doubles gone.

Only what stays plain ONNX: fused operators and layouts belong to one processor, and are made as the model loads.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from servable.domain.batch import Batch


def optimised(model: bytes, _: Batch) -> bytes:
    """The model as it would be run, written down."""
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="servable-edge-") as folder:
        path = Path(folder) / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()
