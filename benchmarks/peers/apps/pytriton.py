"""Triton's HTTP door before a Python model, by nvidia-pytriton.

Run with  python -m benchmarks.peers.apps.pytriton HTTP_PORT GRPC_PORT
"""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.apps.onnx import session_of_environment

DTYPES: Final = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
MAX_BATCH: Final = 64
MAX_WAIT_US: Final = 2000


def tensors(fields: Any) -> list[Tensor]:
    """Onnxruntime's description of inputs or outputs in Triton's words, without the axis of rows."""
    return [
        Tensor(
            name=field.name,
            dtype=DTYPES[field.type],
            shape=tuple(size if isinstance(size, int) else -1 for size in field.shape[1:]) or (1,),
        )
        for field in fields
    ]


if __name__ == "__main__":
    http_port, grpc_port = int(sys.argv[1]), int(sys.argv[2])
    loaded = session_of_environment()
    source = loaded.get_inputs()[0].name
    names = [output.name for output in loaded.get_outputs()]

    @batch  # type: ignore[untyped-decorator] # pytriton lives in another environment
    def infer(**inputs: Any) -> dict[str, Any]:
        answers = loaded.run(None, {source: inputs[source]})
        return {name: y.reshape(len(y), -1) for name, y in zip(names, answers, strict=True)}

    host = "127.0.0.1"
    addresses = {"http_address": host, "http_port": http_port, "grpc_address": host, "grpc_port": grpc_port}
    batcher = DynamicBatcher(max_queue_delay_microseconds=MAX_WAIT_US)
    with Triton(config=TritonConfig(**addresses, allow_metrics=False)) as triton:
        triton.bind(
            model_name="model",
            infer_func=infer,
            inputs=tensors(loaded.get_inputs()),
            outputs=tensors(loaded.get_outputs()),
            config=ModelConfig(max_batch_size=MAX_BATCH, batcher=batcher),
        )
        triton.serve()
