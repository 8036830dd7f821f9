"""KServe's Python model server."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Place


def prepare(place: Place) -> list[str]:
    return [
        str(place.python), "-m", "benchmarks.peers.apps.kserve", f"--http_port={place.port}", "--enable_grpc=false",
        "--enable_latency_logging=false", "--workers=1",
    ]  # fmt: skip


PEER = Peer(
    "kserve",
    "KServe",
    prepare,
    "custom model on onnxruntime, one worker, uvloop, latency log off, gRPC off",
    goal=30,
    packages=("kserve", "onnxruntime"),
)
