"""MLServer, over HTTP and gRPC."""

from __future__ import annotations

import json

from benchmarks.peers.peer import Peer, Place


def prepare(place: Place) -> list[str]:
    settings = {
        "debug": False,  # access logs off
        "parallel_workers": 0,
        "host": "127.0.0.1",
        "http_port": place.port,
        "grpc_port": place.grpc_port,
        "metrics_endpoint": None,
        "gzip_enabled": False,
    }
    model = {"name": "model", "implementation": "benchmarks.peers.apps.mlserver.OnnxModel"}
    (place.folder / "settings.json").write_text(json.dumps(settings))
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    return [place.tool("mlserver"), "start", str(place.folder)]


PEER = Peer(
    "mlserver",
    "MLServer",
    prepare,
    "custom runtime on onnxruntime, parallel_workers=0, access log, metrics and gzip off",
    goal=20,
    packages=("mlserver", "onnxruntime"),
)
