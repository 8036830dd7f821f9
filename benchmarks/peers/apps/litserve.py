"""LitServe: a LitAPI that batches.

Run with  python -m benchmarks.peers.apps.litserve PORT
"""

from __future__ import annotations

import sys
from typing import Any

import litserve
import numpy as np

from benchmarks.peers.apps.onnx import session_of_environment


class OnnxApi(litserve.LitAPI):  # type: ignore[misc] # litserve lives in another environment
    def setup(self, device: str) -> None:
        del device
        self.session = session_of_environment()
        self.source = self.session.get_inputs()[0].name
        self.names = [output.name for output in self.session.get_outputs()]

    # LitServe hands annotations of `request` to FastAPI, which would look for it in the query.
    def decode_request(self, request, **_):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN003, ANN201
        return np.array(request["inputs"], dtype=np.float32)

    def predict(self, x: Any, **_: Any) -> list[Any]:
        return list(self.session.run(None, {self.source: x}))

    def encode_response(self, output: list[Any], **_: Any) -> dict[str, Any]:
        return {name: y.tolist() for name, y in zip(self.names, output, strict=True)}


if __name__ == "__main__":
    server = litserve.LitServer(OnnxApi(), accelerator="cpu", fast_queue=True)
    port = int(sys.argv[1])
    server.run(host="127.0.0.1", port=port, num_api_servers=1, generate_client_file=False, log_level="warning")
