"""LitServe."""

from __future__ import annotations

from benchmarks.dialect import PlainJson
from benchmarks.peers.peer import Peer, Place


def prepare(place: Place) -> list[str]:
    return [str(place.python), "-m", "benchmarks.peers.apps.litserve", str(place.port)]


PEER = Peer(
    "litserve",
    "LitServe",
    prepare,
    "LitAPI on onnxruntime, one worker, one API server, fast queue; its batching was slower",
    goal=30,
    packages=("litserve", "onnxruntime"),
    dialect=PlainJson("/predict", "inputs"),
)
