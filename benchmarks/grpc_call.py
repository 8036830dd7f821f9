"""One ModelInfer call over gRPC: its message from a case, and whether the answer holds the right numbers.

The messages are tritonclient's, as a stranger's client would send them: tensors as raw bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, sleep
from typing import Any, Final

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.case import Case
from benchmarks.process import NotServing, Process, tail
from benchmarks.traffic import HOST

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
CALLERS: Final = 16
CALLS: Final = 512
RAW_DTYPES: Final = {"FP32": np.float32, "INT64": np.int64}


def message(case: Case, index: int, model: str) -> Any:
    """The request with the case's part `index`. It brings an id, so that all answers are of one length."""
    x = case.parts[index]
    request = service_pb2.ModelInferRequest(model_name=model, id="benchmark")
    tensor = request.inputs.add()
    tensor.name, tensor.datatype = case.source, "FP32"
    tensor.shape.extend(x.shape)
    request.raw_input_contents.append(x.tobytes())
    return request


def judged_calls(case: Case, port: int, model: str, headers: Mapping[str, str] | None = None) -> int:
    """Many calls at once, every answer judged. The length in bytes of the answer to the first part."""
    metadata = [(name.lower(), value) for name, value in (headers or {}).items()]
    with grpc.insecure_channel(f"{HOST}:{port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def call(index: int) -> int:
            answer = stub.ModelInfer(message(case, index, model), metadata=metadata, timeout=30)
            case.verify(index, _outputs(answer))
            return int(answer.ByteSize())

        with ThreadPoolExecutor(CALLERS) as callers:
            sizes = list(callers.map(call, [turn % len(case.parts) for turn in range(CALLS)]))
    return sizes[0]


def await_calls(process: Process, case: Case, port: int, model: str, timeout_s: float = 60.0) -> int:
    """`judged_calls` once the server answers. Raises NotServing."""
    begun = perf_counter()
    while True:
        try:
            return judged_calls(case, port, model)
        except grpc.RpcError as error:
            if perf_counter() - begun > timeout_s:
                problem = f"no answer over gRPC within {timeout_s:.0f} s: {error.details()}"
                raise NotServing(f"{problem}; {tail(process.log)}") from error
            sleep(0.1)


def _outputs(answer: Any) -> dict[str, Any]:
    """Outputs by name, from raw bytes or from typed contents."""
    outputs = {}
    for place, tensor in enumerate(answer.outputs):
        if answer.raw_output_contents:
            outputs[tensor.name] = np.frombuffer(answer.raw_output_contents[place], RAW_DTYPES[tensor.datatype])
        else:
            contents = tensor.contents
            outputs[tensor.name] = np.array(contents.fp32_contents or contents.int64_contents)
    return outputs
