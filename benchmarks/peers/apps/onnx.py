"""The model as every server under test runs it, so that servers are compared and not runtimes."""

from __future__ import annotations

import os
from typing import Any

import onnxruntime


def session(model: str) -> Any:
    """Onnxruntime with one thread, no spinning, no warnings on every call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def session_of_environment() -> Any:
    """The session for the file named by BENCHMARK_MODEL: for peers that give a model's code no argument."""
    return session(os.environ["BENCHMARK_MODEL"])
